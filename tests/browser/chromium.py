"""A real Chromium, driven through its own debugging pipe: no driver and no package beside it.

    with Browser() as browser:
        page = browser.page('file:///tmp/flame.svg', dark=True)
        page.click(100, 200)
        assert page.evaluate('location.hash') == '#zoom=3'
        assert not page.errors and not page.requests
"""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

PROGRAM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))),
               None)

# A browser under test talks to nobody, asks for nothing and may run as root in a container.
FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
         '--disable-background-networking', '--disable-component-update', '--disable-sync',
         '--disable-dev-shm-usage', '--remote-debugging-pipe']

KEYS = {'Enter': 13, 'Escape': 27, 'Backspace': 8, 'Home': 36, 'ArrowLeft': 37, 'ArrowUp': 38,
        'ArrowRight': 39, 'ArrowDown': 40, 'Tab': 9}
CONTROL = 2
SHIFT = 8


class Browser:
    def __init__(self, patience=60):
        self.patience = patience
        self.directory = tempfile.TemporaryDirectory(prefix='hone-chromium-', ignore_cleanup_errors=True)
        commands, self.commands = os.pipe()
        self.answers, answers = os.pipe()
        # Chromium reads descriptor 3 and writes descriptor 4.
        self.process = subprocess.Popen(
            ['sh', '-c', f'exec "$@" 3<&{commands} 4>&{answers}', 'sh', PROGRAM, *FLAGS,
             f'--user-data-dir={self.directory.name}', 'about:blank'],
            pass_fds=(commands, answers), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        os.close(commands)
        os.close(answers)
        self.pending = b''
        self.last = 0
        self.pages = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.commands)
        os.close(self.answers)
        self.directory.cleanup()

    def call(self, method, session=None, **parameters):
        """Sends a command and returns its result; events that come before go to their page."""
        self.last += 1
        message = {'id': self.last, 'method': method, 'params': parameters}
        if session:
            message['sessionId'] = session
        data = json.dumps(message).encode() + b'\0'
        while data:
            data = data[os.write(self.commands, data):]
        while True:
            answer = self.receive(self.patience)
            if answer.get('id') == message['id']:
                break
        if 'error' in answer:
            raise RuntimeError(f'{method}: {answer["error"]["message"]}')
        return answer['result']

    def receive(self, patience):
        """The next message; an empty one when there is none in time and none was required."""
        deadline = time.monotonic() + patience
        while b'\0' not in self.pending:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.answers], [], [], left)[0]:
                raise TimeoutError('chromium does not answer')
            more = os.read(self.answers, 1 << 16)
            if not more:
                raise ConnectionError('chromium ended')
            self.pending += more
        line, self.pending = self.pending.split(b'\0', 1)
        message = json.loads(line)
        page = self.pages.get(message.get('sessionId'))
        if page and 'method' in message:
            page.happened(message['method'], message['params'])
        return message

    def page(self, url, **options):
        return Page(self, url, **options)


class Page:
    def __init__(self, browser, url, width=1200, height=800, dark=False, scripts=True, still=True):
        self.browser = browser
        self.errors = []    # what the page complained about
        self.requests = []  # what it fetched beside itself
        self.loaded = False
        self.url = url
        target = browser.call('Target.createTarget', url='about:blank')['targetId']
        self.target = target
        self.session = browser.call('Target.attachToTarget', targetId=target,
                                    flatten=True)['sessionId']
        browser.pages[self.session] = self
        for domain in ('Page', 'Runtime', 'Network', 'Log'):
            self.call(f'{domain}.enable')
        self.call('Emulation.setDeviceMetricsOverride', width=width, height=height,
                  deviceScaleFactor=1, mobile=False)
        self.call('Emulation.setEmulatedMedia', features=[
            {'name': 'prefers-color-scheme', 'value': 'dark' if dark else 'light'},
            {'name': 'prefers-reduced-motion', 'value': 'reduce' if still else 'no-preference'}])
        self.call('Emulation.setScriptExecutionDisabled', value=not scripts)
        self.goto(url)

    def call(self, method, **parameters):
        return self.browser.call(method, self.session, **parameters)

    def happened(self, event, facts):
        if event == 'Page.loadEventFired':
            self.loaded = True
        elif event == 'Runtime.exceptionThrown':
            details = facts['exceptionDetails']
            self.errors.append(details.get('exception', details).get('description', str(details)))
        elif event == 'Runtime.consoleAPICalled':
            self.errors.append(str([value.get('value') for value in facts['args']]))
        elif event == 'Log.entryAdded' and facts['entry']['level'] in ('error', 'warning'):
            self.errors.append(facts['entry']['text'])
        elif event == 'Network.requestWillBeSent' and facts['documentURL'] != 'about:blank':
            if facts['request']['url'].split('#')[0] != self.url.split('#')[0]:
                self.requests.append(facts['request']['url'])

    def goto(self, url):
        self.loaded = False
        self.url = url
        self.call('Page.navigate', url=url)
        while not self.loaded:
            self.browser.receive(self.browser.patience)

    def evaluate(self, expression):
        answer = self.call('Runtime.evaluate', expression=expression, awaitPromise=True,
                           returnByValue=True, userGesture=True)
        if 'exceptionDetails' in answer:
            raise RuntimeError(answer['exceptionDetails']['exception'].get('description'))
        return answer['result'].get('value')

    def move(self, x, y):
        self.call('Input.dispatchMouseEvent', type='mouseMoved', x=x, y=y)

    def click(self, x, y, modifiers=0):
        self.move(x, y)
        for kind in ('mousePressed', 'mouseReleased'):
            self.call('Input.dispatchMouseEvent', type=kind, x=x, y=y, button='left',
                      clickCount=1, modifiers=modifiers)
        self.settle()

    def key(self, key, modifiers=0):
        facts = {'key': key, 'windowsVirtualKeyCode': KEYS.get(key, ord(key[0].upper())),
                 'modifiers': modifiers}
        text = '\r' if key == 'Enter' else key if len(key) == 1 and not modifiers else None
        self.call('Input.dispatchKeyEvent', type='keyDown' if text else 'rawKeyDown',
                  **facts, **({'text': text} if text else {}))
        self.call('Input.dispatchKeyEvent', type='keyUp', **facts)
        self.settle()

    def type(self, text):
        self.call('Input.insertText', text=text)
        self.settle()

    def settle(self):
        """Waits until what was asked for is drawn."""
        self.evaluate('new Promise(done => requestAnimationFrame(() => requestAnimationFrame('
                      'done)))')

    def screenshot(self, path):
        data = self.call('Page.captureScreenshot')['data']
        with open(path, 'wb') as file:
            file.write(base64.b64decode(data))

    def close(self):
        self.browser.call('Target.closeTarget', targetId=self.target)
        self.browser.pages.pop(self.session, None)
