"""What a public header says: its functions, and its text in sections."""

import pathlib
import re

PROTOTYPE = re.compile(r'^(?!static|typedef|#|//)[a-z][\w\s*]*?\b(hone_\w+)\(', re.MULTILINE)
SECTION = re.compile(r'^// --- (.*?) -+$')
NOISE = re.compile(r'^(#(ifndef|define|ifdef|endif|include)|extern "C"|\}$)')


def functions(path):
    """The names of the functions that the header declares and does not define."""
    return PROTOTYPE.findall(pathlib.Path(path).read_text(encoding='utf-8'))


def blocks(path):
    """(section, comment lines, code lines) in order: a comment and the code up to an empty line."""
    section, comment, code, found = '', [], [], []

    def close():
        if comment or code:
            found.append((section, list(comment), list(code)))
        comment.clear()
        code.clear()

    inside = False                                      # a definition, which may have empty lines
    for line in pathlib.Path(path).read_text(encoding='utf-8').splitlines():
        heading = SECTION.match(line)
        if heading:
            close()
            section = heading.group(1)
        elif not inside and NOISE.match(line):
            close()
        elif not line and not inside:
            close()
        elif line.startswith('//') and not inside:
            if code:
                close()
            comment.append(line[3:] if line.startswith('// ') else '')
        else:
            code.append(line)
            inside = (inside or line.endswith('{') or line == '{') and not line.startswith('}')
    close()
    return found
