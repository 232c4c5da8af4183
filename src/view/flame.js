// The live flame graph. The file that carries this script already holds a static picture; this
// replaces it, where scripts run, by one that can be zoomed, searched and read by keyboard.
//
// The tree comes packed (flame_data.c): nodes in pre-order, siblings by total, largest first, so a
// subtree is the range [node, end[node]) and once a child is too narrow to see, so are all its later
// siblings. Only what is on screen is drawn, wide frames as elements of their own and narrow ones as
// one path for each colour: the number of elements depends on the window, not on the profile.
'use strict';
(() => {
    const SVG = 'http://www.w3.org/2000/svg';
    const HTML = 'http://www.w3.org/1999/xhtml';
    const ROW = 18; // px from row to row; one of them is the gap
    const NARROWEST = 1.5; // px: narrower frames are drawn together, as one hatched box
    const LABELLED = 24; // px: from here on a frame has room for text
    const ZOOM_MS = 220;
    const TREE_NOTHING = -1;

    const root = document.currentScript?.ownerSVGElement ?? document.documentElement;
    const data = JSON.parse(root.querySelector('#profile').textContent);

    // ---- The tree -------------------------------------------------------------------------------

    /** Unpacks the node stream: varints in base64; see flame_data.c for what they say. */
    function unpack(text, count) {
        const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
        let at = 0;
        const next = () => {
            let value = 0, factor = 1, byte; // not shifts: values have up to 53 bits
            do {
                byte = bytes[at++];
                value += (byte & 127) * factor;
                factor *= 128;
            } while (byte & 128);
            return value;
        };
        const tree = {
            count,
            frame: new Uint32Array(count), // 0: the root; 1: frames too small to be kept
            parent: new Uint32Array(count),
            end: new Uint32Array(count),
            depth: new Uint32Array(count),
            self: new Float64Array(count),
            total: new Float64Array(count),
            start: new Float64Array(count), // where it begins, in values from the left
            inside: new Map(), // smaller frames: how many
            deepest: 0,
        };
        tree.self[0] = next();
        for (let node = 1, parent = 0; node < count; node++) {
            for (let up = next(); up > 0; up--) parent = tree.parent[parent];
            tree.parent[node] = parent;
            tree.depth[node] = tree.depth[parent] + 1;
            tree.deepest = Math.max(tree.deepest, tree.depth[node]);
            tree.frame[node] = next() + 1;
            tree.self[node] = next();
            if (tree.frame[node] === 1) tree.inside.set(node, next());
            parent = node;
        }
        const {parent, end, self, total, start} = tree;
        for (let node = count - 1; node >= 0; node--) {
            total[node] += self[node];
            end[node] = Math.max(end[node], node + 1);
            if (node === 0) break;
            total[parent[node]] += total[node];
            end[parent[node]] = Math.max(end[parent[node]], end[node]);
        }
        const filled = new Float64Array(count);
        for (let node = 1; node < count; node++) {
            start[node] = start[parent[node]] + filled[parent[node]];
            filled[parent[node]] += total[node];
        }
        return tree;
    }

    const tree = unpack(data.nodes, data.count);
    const names = ['all', '', ...data.names];
    const isSmaller = node => tree.frame[node] === 1;

    function nameOf(node) {
        return isSmaller(node) ? smallerName(tree.inside.get(node)) : names[tree.frame[node]];
    }
    function smallerName(n) {
        return `${n.toLocaleString('en').replaceAll(',', '\u202f')} smaller frame${n === 1 ? '' : 's'}`;
    }
    function colorOf(node) {
        return isSmaller(node) ? 'smaller' : node === 0 ? 'root' : classOf(data.color[tree.frame[node] - 2]);
    }
    const familyOf = color => color >> 2;
    const classOf = color => 'c' + 'abcdefghijklmnop'[familyOf(color)] + (color & 3); // as in flame_color.c
    function placeOf(node) {
        if (node === 0) return data.title;
        if (isSmaller(node)) return 'each too small to be kept on its own';
        const i = tree.frame[node] - 2;
        const parts = [data.texts[data.module[i]]];
        if (data.file[i]) parts.push(data.texts[data.file[i]] + (data.line[i] ? ':' + data.line[i] : ''));
        if (data.inlined[i]) parts.push('inlined');
        return parts.filter(Boolean).join(' · ');
    }
    function children(node) {
        const list = [];
        for (let child = node + 1; child < tree.end[node]; child = tree.end[child]) list.push(child);
        return list;
    }

    // ---- Numbers --------------------------------------------------------------------------------

    const SCALES = {
        nanoseconds: [[1e9, 's'], [1e6, 'ms'], [1e3, 'µs'], [1, 'ns']],
        bytes: [[2 ** 40, 'TiB'], [2 ** 30, 'GiB'], [2 ** 20, 'MiB'], [2 ** 10, 'KiB'], [1, 'B']],
    };
    function amount(value) {
        if (value === 0) return '0';
        const scale = SCALES[data.unit]?.find(([size]) => value >= size);
        if (!scale)
            return `${value.toLocaleString('en').replaceAll(',', '\u202f')} ${data.unit === 'count' ? '' : data.unit}`.trim();
        const scaled = value / scale[0];
        const digits = scale[0] === 1 || scaled >= 100 ? 0 : scaled >= 10 ? 1 : 2;
        return `${scaled.toFixed(digits)} ${scale[1]}`;
    }
    function percent(part, whole) {
        const share = whole > 0 ? part / whole * 100 : 0;
        return `${share.toFixed(share === 0 ? 0 : share < 0.095 ? 3 : share < 9.95 ? 2 : 1)} %`;
    }

    // ---- State ----------------------------------------------------------------------------------

    const state = {
        zoom: 0, // the node that fills the width
        view: {from: 0, to: tree.total[0]}, // values at the left and right edge; moves while zooming
        cursor: 0, // the node that the keyboard is on
        hover: TREE_NOTHING,
        trail: [], // zooms to go back to
        upright: data.inverted, // root at the bottom
        query: '',
        matched: null, // by frame: 1 when it matches; null without a search
        matchedNodes: [],
        kind: null, // the legend entry that is searched for
    };

    // ---- The page -------------------------------------------------------------------------------

    function html(name, attributes = {}, ...inside) {
        const element = document.createElementNS(HTML, name);
        for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
        element.append(...inside);
        return element;
    }
    function svg(name, attributes = {}) {
        const element = document.createElementNS(SVG, name);
        for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
        return element;
    }

    const ui = {
        search: html('input', {type: 'search', placeholder: 'Search (regular expression)',
            'aria-label': 'Search functions by regular expression', spellcheck: 'false', autocomplete: 'off'}),
        found: html('output', {class: 'found', 'aria-live': 'polite'}),
        reset: html('button', {type: 'button', title: 'Show everything (Home)'}, 'Reset'),
        flip: html('button', {type: 'button', title: 'Root at the top or at the bottom (i)'}, 'Flip'),
        help: html('button', {type: 'button', title: 'Keys (?)', 'aria-label': 'Keys'}, '?'),
        legend: html('div', {class: 'legend', role: 'group', 'aria-label': 'Colours'}),
        crumbs: html('nav', {class: 'crumbs', 'aria-label': 'Zoomed into'}),
        frames: svg('svg', {class: 'frames', role: 'none'}),
        narrow: svg('g'),
        wide: svg('g'),
        hover: svg('rect', {class: 'hover', rx: 2}),
        cursor: svg('rect', {class: 'cursor', rx: 2}),
        name: html('div', {class: 'name'}),
        place: html('div', {class: 'place'}),
        sums: html('div', {class: 'sums'}),
        share: html('div', {class: 'share'}),
    };
    ui.frames.append(ui.narrow, ui.wide, ui.hover, ui.cursor);
    ui.stage = html('div', {class: 'stage', tabindex: '0', role: 'tree', 'aria-label': 'Call tree',
        'aria-activedescendant': 'cursor-frame'}, ui.frames);
    ui.details = html('footer', {class: 'details', 'aria-live': 'polite'}, ui.name, ui.sums, ui.place, ui.share);

    const KEYS = [
        ['click, Enter', 'zoom into a frame'],
        ['Esc, Backspace', 'back'],
        ['Home', 'show everything'],
        ['↑ ↓ ← →', 'move between frames'],
        ['/, Ctrl-F', 'search; n and N go from match to match'],
        ['c', 'copy the name'],
        ['i', 'flip: root at the top or at the bottom'],
        ['Shift-click', 'select without zooming'],
    ];
    ui.keys = html('dialog', {'aria-label': 'Keys'}, html('h2', {}, 'Keys'),
        html('dl', {}, ...KEYS.flatMap(([key, does]) => [html('dt', {}, key), html('dd', {}, does)])));

    function buildNotes() {
        if (!data.notes.length) return '';
        const warnings = data.notes.filter(note => note.warn).length;
        const summary = warnings ? data.notes.filter(note => note.warn).map(note => note.text).join(' · ')
            : 'About this profile';
        return html('details', {class: warnings ? 'notes warn' : 'notes'}, html('summary', {}, summary),
            html('ul', {}, ...data.notes.map(note => html('li', {}, note.text))));
    }

    function buildLegend() {
        for (const entry of data.legend) {
            const swatch = svg('svg', {viewBox: '0 0 10 10', 'aria-hidden': 'true'});
            swatch.append(svg('rect', {width: 10, height: 10, rx: 2, class: classOf(entry.family << 2)}));
            const button = html('button', {type: 'button', 'aria-pressed': 'false',
                title: `${entry.label}: ${amount(entry.self)} of its own. Click to highlight.`},
                swatch, html('span', {class: 'what'}, entry.label), percent(entry.self, tree.total[0]));
            button.addEventListener('click', () => highlightKind(state.kind === entry ? null : entry));
            ui.legend.append(button);
            entry.button = button;
        }
    }

    function buildPage() {
        buildLegend();
        ui.app = html('div', {class: 'app'},
            html('header', {},
                html('div', {class: 'bar'}, html('h1', {title: data.title}, data.title),
                    html('div', {class: 'tools'}, ui.found, ui.search, ui.flip, ui.reset, ui.help)),
                html('p', {class: 'facts'}, data.facts), buildNotes(), ui.legend, ui.crumbs),
            ui.stage, ui.details, ui.keys);
        const holder = svg('foreignObject', {class: 'interface', width: '100%', height: '100%'});
        holder.append(ui.app);
        root.append(holder);
        root.removeAttribute('role'); // no longer one image
        root.removeAttribute('aria-labelledby');
        showWhole(false);
    }

    // The file's own size and viewBox belong to the static picture; paper wants them back.
    const picture = {viewBox: root.getAttribute('viewBox'), width: root.getAttribute('width'), height: root.getAttribute('height')};
    function showWhole(onPaper) {
        root.classList.toggle('live', true);
        if (onPaper) {
            for (const [key, value] of Object.entries(picture)) root.setAttribute(key, value);
            root.setAttribute('width', '100%');
            root.removeAttribute('height');
        } else {
            root.removeAttribute('viewBox');
            root.setAttribute('width', '100%');
            root.setAttribute('height', '100%');
        }
    }

    // ---- Labels ---------------------------------------------------------------------------------

    const pen = html('canvas').getContext('2d');
    const glyphs = new Map();
    function widthOf(text) {
        let width = 0;
        for (const glyph of text) {
            let w = glyphs.get(glyph);
            if (w === undefined) glyphs.set(glyph, w = pen.measureText(glyph).width);
            width += w;
        }
        return width;
    }

    /** The name without what stands in angle brackets: 'map<int, A<B>>::at' is 'map<…>::at'. */
    function withoutTemplates(name) {
        let out = '', depth = 0;
        for (let i = 0; i < name.length; i++) {
            const c = name[i];
            const operator = /operator[<>=-]*$/.test(name.slice(Math.max(0, i - 11), i));
            if (c === '<' && !operator) {
                if (depth++ === 0) out += '<…';
            } else if (c === '>' && !operator && depth > 0) {
                if (--depth === 0) out += '>';
                continue;
            }
            if (depth === 0) out += c;
        }
        return depth === 0 ? out : name;
    }

    /** Ever shorter ways to say a name, the full one first. */
    function shorter(name) {
        const plain = withoutTemplates(name);
        const parts = plain.split(/::|(?<=\/)(?=[^/]*$)|(?=\+0x[0-9a-f]+$)/);
        return [name, plain, plain.includes('::') && parts.length > 2 ? '…' + parts.slice(-2).join('::') : plain, parts.at(-1)];
    }

    const measured = new Map(); // frame -> [[text, width], …]
    function labelFor(node, room) {
        let candidates = measured.get(tree.frame[node]);
        if (!candidates || isSmaller(node)) {
            const name = node === 0 ? `all · ${amount(tree.total[0])}` : nameOf(node);
            candidates = shorter(name).map(text => [text, widthOf(text)]);
            if (!isSmaller(node)) measured.set(tree.frame[node], candidates);
        }
        for (const [text, width] of candidates) if (width <= room) return text;
        return cut(candidates.at(-1)[0], room);
    }
    function cut(text, room) {
        if (widthOf(text) <= room) return text;
        let width = widthOf('…'), kept = '';
        for (const glyph of text) {
            width += widthOf(glyph);
            if (width > room) break;
            kept += glyph;
        }
        return kept.length > 1 ? kept + '…' : '';
    }

    // ---- Drawing --------------------------------------------------------------------------------

    const pool = []; // labelled frames that were made so far: {group, rect, text, …what they show}
    const paths = new Map(); // class -> path

    const width = () => ui.frames.clientWidth || 1;
    const rows = () => tree.deepest + 1;
    const height = () => rows() * ROW + 8;
    const rowTop = depth => (state.upright ? rows() - 1 - depth : depth) * ROW + 4;

    /** Calls back for each frame in the rows from top to bottom that is wide enough to be seen:
        (node, left, width, siblings) where siblings is true when it stands for its later ones too. */
    function visit(top, bottom, each) {
        const {from, to} = state.view;
        const scale = width() / (to - from);
        const {start, total, self, parent, end, depth} = tree;
        for (let node = 0; node < tree.count;) {
            if (start[node] >= to || start[node] + total[node] <= from || depth[node] > bottom) {
                node = end[node];
                continue;
            }
            let left = (start[node] - from) * scale;
            let wide = total[node] * scale;
            const narrow = wide < NARROWEST && node !== 0;
            if (narrow) { // and so are all that follow it
                const p = parent[node];
                wide = (start[p] + total[p] - self[p] - start[node]) * scale;
            }
            const right = Math.min(left + wide, width());
            left = Math.max(left, 0);
            if (depth[node] >= top && right - left > 0.3) each(node, left, right - left, narrow);
            node = narrow ? end[parent[node]] : node + 1;
        }
    }

    let rowsDrawn = {top: 0, bottom: 0};
    function draw() {
        ui.frames.setAttribute('height', height());
        const y0 = ui.stage.scrollTop - ROW * 2;
        const y1 = ui.stage.scrollTop + ui.stage.clientHeight + ROW * 2;
        const rowAt = y => Math.floor((y - 4) / ROW);
        const top = state.upright ? rows() - 1 - rowAt(y1) : rowAt(y0);
        const bottom = state.upright ? rows() - 1 - rowAt(y0) : rowAt(y1);
        rowsDrawn = {top, bottom};

        const narrow = new Map();
        let used = 0;
        visit(top, bottom, (node, left, wide, several) => {
            const matched = state.matched !== null && (several ? anyMatch(node) : isMatch(node));
            if (wide >= LABELLED && !several) {
                drawWide(used++, node, left, wide, matched);
                return;
            }
            const kind = (several ? 'smaller' : colorOf(node)) + (matched ? ' matched' : '');
            const gap = wide > 3 ? 1 : wide > 1 ? 0.3 : 0;
            const piece = `M${left.toFixed(1)} ${rowTop(tree.depth[node])}h${Math.max(wide - gap, 0.4).toFixed(1)}v${ROW - 1}H${left.toFixed(1)}z`;
            narrow.set(kind, (narrow.get(kind) ?? '') + piece);
        });
        for (let i = used; i < pool.length && pool[i].shown; i++) {
            pool[i].group.style.display = 'none';
            pool[i].shown = false;
        }
        for (const [kind, path] of paths) if (!narrow.has(kind)) path.setAttribute('d', '');
        for (const [kind, d] of narrow) {
            let path = paths.get(kind);
            if (!path) {
                path = svg('path', {class: 'frame ' + kind});
                paths.set(kind, path);
                ui.narrow.append(path);
            }
            path.setAttribute('d', d);
        }
        ui.frames.classList.toggle('searching', state.matched !== null);
        drawOutline(ui.hover, state.hover);
        // The zoomed frame shows itself by its width; keyboard users still need to see where they are.
        const shown = state.cursor !== state.zoom || ui.stage.matches(':focus-visible');
        drawOutline(ui.cursor, shown ? state.cursor : TREE_NOTHING);
    }

    function drawWide(index, node, left, wide, matched) {
        let slot = pool[index];
        if (!slot) {
            slot = {group: svg('g', {role: 'treeitem'}), rect: svg('rect', {rx: 2, height: ROW - 1}),
                text: svg('text', {class: 'label', x: 5, y: 12.5}), shown: true};
            slot.group.append(slot.rect, slot.text);
            ui.wide.append(slot.group);
            pool.push(slot);
        }
        if (!slot.shown) {
            slot.group.style.display = '';
            slot.shown = true;
        }
        const above = tree.depth[node] < tree.depth[state.zoom];
        slot.group.setAttribute('transform', `translate(${left.toFixed(2)} ${rowTop(tree.depth[node])})`);
        slot.rect.setAttribute('width', Math.max(wide - 1, 0.5).toFixed(2));
        const groupClass = (above ? 'above' : '') + (matched ? ' matched' : '');
        if (slot.groupClass !== groupClass) slot.group.setAttribute('class', slot.groupClass = groupClass);
        const frameClass = `frame ${colorOf(node)}${matched ? ' matched' : ''}`;
        if (slot.frameClass !== frameClass) slot.rect.setAttribute('class', slot.frameClass = frameClass);
        const label = labelFor(node, wide - 10);
        if (slot.label !== label) slot.text.textContent = slot.label = label;
        if (slot.node !== node) {
            slot.node = node;
            slot.group.setAttribute('data-node', node);
            slot.group.setAttribute('aria-level', tree.depth[node] + 1);
            slot.group.setAttribute('aria-label', `${nameOf(node)}, ${amount(tree.total[node])}, ${percent(tree.total[node], tree.total[0])}`);
            slot.text.setAttribute('class', isSmaller(node) ? 'label smaller-label' : 'label');
        }
        const id = node === state.cursor ? 'cursor-frame' : '';
        if (slot.id !== id) {
            slot.id = id;
            if (id) slot.group.setAttribute('id', id);
            else slot.group.removeAttribute('id');
        }
    }

    function drawOutline(rect, node) {
        const {from, to} = state.view;
        const scale = width() / (to - from);
        const left = node < 0 ? 0 : Math.max((tree.start[node] - from) * scale, 0);
        const right = node < 0 ? 0 : Math.min((tree.start[node] + tree.total[node] - from) * scale, width());
        rect.style.display = right > left ? '' : 'none';
        if (!(right > left)) return;
        rect.setAttribute('x', left + 0.5);
        rect.setAttribute('width', Math.max(right - left - 2, 2));
        rect.setAttribute('y', rowTop(tree.depth[node]) + 0.5);
        rect.setAttribute('height', ROW - 2);
    }

    /** The frame at a place in the stage; for a hatched box the first of those in it. */
    function nodeAt(x, y) {
        const row = Math.floor((y - 4) / ROW);
        const wanted = state.upright ? rows() - 1 - row : row;
        const {from, to} = state.view;
        const value = from + x / width() * (to - from);
        if (wanted < 0 || wanted > tree.deepest || x < 0 || x >= width()) return TREE_NOTHING;
        let node = 0;
        for (let depth = 0; depth < wanted; depth++) {
            let child = node + 1;
            while (child < tree.end[node] && tree.start[child] + tree.total[child] <= value) child = tree.end[child];
            if (child >= tree.end[node] || tree.start[child] > value) return TREE_NOTHING;
            node = child;
        }
        return node;
    }

    // ---- Details --------------------------------------------------------------------------------

    function showDetails() {
        const node = state.hover >= 0 ? state.hover : state.cursor;
        const total = tree.total[node];
        ui.name.textContent = node === 0 ? 'all' : nameOf(node);
        ui.name.title = ui.name.textContent;
        ui.place.textContent = ui.place.title = placeOf(node);
        ui.sums.textContent = `${amount(total)} total · ${amount(tree.self[node])} self`;
        ui.share.textContent = `${percent(total, tree.total[0])} of everything`
            + (state.zoom && node > state.zoom && node < tree.end[state.zoom]
                ? ` · ${percent(total, tree.total[state.zoom])} of ${cut(shorter(nameOf(state.zoom)).at(-1), 160)}` : '')
            + (tree.self[node] && total > tree.self[node] ? ` · ${percent(tree.self[node], tree.total[0])} self` : '');
    }

    async function copyName() {
        const name = nameOf(state.hover >= 0 ? state.hover : state.cursor);
        try {
            await navigator.clipboard.writeText(name);
        } catch { // not from a file: the old way works there
            const text = html('textarea');
            text.value = name;
            ui.app.append(text);
            text.select();
            document.execCommand('copy');
            text.remove();
            ui.stage.focus();
        }
        ui.share.textContent = 'name copied';
    }

    function showCrumbs() {
        const path = [];
        for (let node = state.zoom; ; node = tree.parent[node]) {
            path.unshift(node);
            if (node === 0) break;
        }
        // A deep path shows its beginning and its end.
        const shown = path.length > 8 ? [...path.slice(0, 2), TREE_NOTHING, ...path.slice(-5)] : path;
        ui.crumbs.replaceChildren(...shown.flatMap((node, i) => {
            const sep = i ? [html('span', {class: 'sep', 'aria-hidden': 'true'}, '›')] : [];
            if (node === TREE_NOTHING) return [...sep, html('span', {}, '…')];
            const name = node === 0 ? 'all' : shorter(nameOf(node)).at(-1);
            if (node === state.zoom) {
                return [...sep, html('span', {class: 'here', title: nameOf(node), 'aria-current': 'location'},
                    node ? name : 'Click a frame to zoom; press / to search, ? for all keys')];
            }
            const button = html('button', {type: 'button', title: nameOf(node)}, name);
            button.addEventListener('click', () => zoomTo(node));
            return [...sep, button];
        }));
        ui.reset.disabled = state.zoom === 0;
    }

    // ---- Zoom -----------------------------------------------------------------------------------

    let motion = 0;
    const calm = matchMedia('(prefers-reduced-motion: reduce)');

    /** Lets the view glide to the zoomed node; gives up gliding when drawing cannot keep up. */
    function glide() {
        cancelAnimationFrame(motion);
        const goal = {from: tree.start[state.zoom], to: tree.start[state.zoom] + tree.total[state.zoom]};
        const begin = {...state.view};
        const t0 = performance.now();
        const finish = () => {
            state.view = goal;
            draw();
        };
        if (calm.matches || document.hidden) return finish();
        const step = now => {
            const t = Math.min(Math.max((now - t0) / ZOOM_MS, 0), 1);
            const eased = 1 - (1 - t) ** 3;
            state.view = {from: begin.from + (goal.from - begin.from) * eased, to: begin.to + (goal.to - begin.to) * eased};
            const before = performance.now();
            if (t >= 1) return finish();
            draw();
            motion = performance.now() - before > 24 ? requestAnimationFrame(finish) : requestAnimationFrame(step);
        };
        motion = requestAnimationFrame(step);
    }

    function scrollTo(node) {
        const y = rowTop(tree.depth[node]);
        const {scrollTop, clientHeight} = ui.stage;
        if (y < scrollTop + ROW || y > scrollTop + clientHeight - ROW * 2) {
            const margin = Math.min(ROW * 3, clientHeight / 3);
            ui.stage.scrollTop = state.upright ? y - clientHeight + margin + ROW : y - margin;
        }
    }

    function zoomTo(node, {remember = true} = {}) {
        if (node === state.zoom || !(tree.total[node] > 0)) return;
        if (remember) state.trail.push(state.zoom);
        state.zoom = node;
        state.cursor = node;
        state.hover = TREE_NOTHING;
        saveState(remember);
        showCrumbs();
        showFound();
        showDetails();
        scrollTo(node);
        glide();
    }

    const back = () => zoomTo(state.trail.pop() ?? 0, {remember: false});
    function reset() {
        zoomTo(0);
        state.trail = [];
    }
    function flip() {
        state.upright = !state.upright;
        ui.stage.scrollTop = 0;
        draw();
        ui.stage.scrollTop = state.upright ? rowTop(0) : 0;
        scrollTo(state.zoom);
        saveState(false);
        draw();
    }

    // ---- Search ---------------------------------------------------------------------------------

    const isMatch = node => state.matched[tree.frame[node]] === 1;

    /** Whether a node, one of its later siblings or something in them matches: they share a box. */
    function anyMatch(node) {
        const end = tree.end[tree.parent[node]];
        let low = 0, high = state.matchedNodes.length;
        while (low < high) {
            const middle = low + high >> 1;
            if (state.matchedNodes[middle] < node) low = middle + 1;
            else high = middle;
        }
        return low < state.matchedNodes.length && state.matchedNodes[low] < end;
    }

    function applyMatch(test) {
        state.matched = null;
        state.matchedNodes = [];
        if (test) {
            state.matched = new Uint8Array(names.length);
            for (let i = 2; i < names.length; i++) state.matched[i] = test(i - 2) ? 1 : 0;
            for (let node = 1; node < tree.count; node++) if (isMatch(node)) state.matchedNodes.push(node);
        }
        showFound();
        draw();
    }

    /** The value of all matches inside a node; a match within a match is not counted twice. */
    function matchedTotal(within) {
        let sum = 0, next = within;
        for (const node of state.matchedNodes) {
            if (node >= tree.end[within]) break;
            if (node < next) continue;
            sum += tree.total[node];
            next = tree.end[node];
        }
        return sum;
    }

    function showFound() {
        if (!state.matched) {
            ui.found.textContent = '';
            return;
        }
        let inside = false; // a zoomed node below a match is all match
        for (let node = state.zoom; node && !inside; node = tree.parent[node]) inside = isMatch(node);
        const sum = matchedTotal(0);
        const zoomed = inside ? tree.total[state.zoom] : matchedTotal(state.zoom);
        ui.found.textContent = state.matchedNodes.length === 0 ? 'no match'
            : `${percent(sum, tree.total[0])} matched` + (state.zoom ? `, ${percent(zoomed, tree.total[state.zoom])} here` : '');
        ui.found.title = `${amount(sum)} in ${state.matchedNodes.length} frames`;
    }

    function search(text) {
        state.query = text;
        setKind(null);
        let pattern = null;
        try {
            pattern = text ? new RegExp(text, 'iu') : null;
            ui.search.classList.remove('bad');
        } catch { // half-typed, or not meant as an expression
            ui.search.classList.add('bad');
            pattern = new RegExp(text.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&'), 'i');
        }
        applyMatch(pattern && (i => pattern.test(data.names[i])));
    }

    function setKind(entry) {
        state.kind = entry;
        for (const other of data.legend) other.button.setAttribute('aria-pressed', String(other === entry));
    }
    function highlightKind(entry) {
        ui.search.value = state.query = '';
        setKind(entry);
        applyMatch(entry && (i => familyOf(data.color[i]) === entry.family));
        saveState(false);
    }

    function nextMatch(step) {
        const list = state.matchedNodes;
        if (!list.length) return;
        let i = list.findIndex(node => node >= state.cursor);
        if (i < 0) i = list.length;
        i = step > 0 ? (list[i] === state.cursor ? i + 1 : i) : i - 1;
        const node = list[(i + list.length) % list.length];
        const wide = tree.total[node] / (state.view.to - state.view.from) * width();
        const outside = tree.start[node] < state.view.from || tree.start[node] >= state.view.to;
        if (wide < NARROWEST * 4 || outside) zoomTo(tree.parent[node]);
        moveCursor(node);
    }

    // ---- What the address keeps -----------------------------------------------------------------

    let ownHash = location.hash;
    function saveState(asStep) {
        const parts = new URLSearchParams();
        if (state.zoom) parts.set('zoom', state.zoom.toString(36));
        if (state.query) parts.set('search', state.query);
        if (state.upright !== data.inverted) parts.set('flip', '1');
        ownHash = parts.size ? '#' + parts : '#';
        if (ownHash === (location.hash || '#')) return;
        if (asStep) location.hash = ownHash; // the browser's own back button works, too
        else location.replace(ownHash);
    }
    function loadState() {
        const parts = new URLSearchParams(location.hash.slice(1));
        const zoom = parseInt(parts.get('zoom') ?? '0', 36);
        const query = parts.get('search') ?? '';
        state.upright = data.inverted !== (parts.get('flip') === '1');
        if (query !== state.query) {
            ui.search.value = query;
            search(query);
        }
        if (zoom >= 0 && zoom < tree.count && zoom !== state.zoom) zoomTo(zoom, {remember: false});
    }

    // ---- Events ---------------------------------------------------------------------------------

    function moveCursor(node) {
        if (node < 0 || node >= tree.count) return;
        state.cursor = node;
        state.hover = TREE_NOTHING;
        scrollTo(node);
        showDetails();
        draw();
    }

    /** The next frame in the same row that is in view, to the right (1) or left (-1). */
    function neighbour(node, step) {
        const depth = tree.depth[node];
        for (let other = node + step; other > 0 && other < tree.count; other += step) {
            if (tree.depth[other] === depth)
                return tree.start[other] < state.view.to && tree.start[other] + tree.total[other] > state.view.from ? other : TREE_NOTHING;
        }
        return TREE_NOTHING;
    }

    const towardsLeaves = () => moveCursor(children(state.cursor)[0] ?? TREE_NOTHING);
    const towardsRoot = () => moveCursor(state.cursor ? tree.parent[state.cursor] : TREE_NOTHING);
    const actions = {
        ArrowDown: () => (state.upright ? towardsRoot : towardsLeaves)(),
        ArrowUp: () => (state.upright ? towardsLeaves : towardsRoot)(),
        ArrowLeft: () => moveCursor(neighbour(state.cursor, -1)),
        ArrowRight: () => moveCursor(neighbour(state.cursor, 1)),
        Enter: () => zoomTo(state.cursor),
        ' ': () => zoomTo(state.cursor),
        Home: reset,
        n: () => nextMatch(1),
        N: () => nextMatch(-1),
        c: copyName,
        i: flip,
    };
    const everywhere = {
        Escape: back,
        Backspace: back,
        '/': () => ui.search.select(),
        '?': () => ui.keys.showModal(),
    };

    function onKey(event) {
        if (ui.keys.open) return;
        if ((event.ctrlKey || event.metaKey) && event.key === 'f') {
            ui.search.select();
            event.preventDefault();
            return;
        }
        if (event.ctrlKey || event.metaKey || event.altKey) return;
        if (event.target === ui.search) {
            if (event.key === 'Escape') {
                if (ui.search.value) clearSearch();
                ui.stage.focus();
            } else if (event.key === 'Enter') {
                ui.stage.focus();
                nextMatch(1);
            } else {
                return;
            }
            event.preventDefault();
            return;
        }
        const button = event.target.closest?.('button, summary');
        if (button && (event.key === 'Enter' || event.key === ' ')) return;
        const action = everywhere[event.key] ?? actions[event.key];
        if (!action) return;
        action();
        event.preventDefault();
    }

    function clearSearch() {
        ui.search.value = '';
        search('');
        saveState(false);
    }

    function place(event) {
        const box = ui.frames.getBoundingClientRect();
        return nodeAt(event.clientX - box.left, event.clientY - box.top);
    }

    function listen() {
        ui.stage.addEventListener('mousemove', event => {
            const node = place(event);
            if (node === state.hover) return;
            state.hover = node;
            drawOutline(ui.hover, node);
            showDetails();
        });
        ui.stage.addEventListener('mouseleave', () => {
            state.hover = TREE_NOTHING;
            drawOutline(ui.hover, TREE_NOTHING);
            showDetails();
        });
        ui.stage.addEventListener('click', event => {
            const node = place(event);
            if (node < 0) return;
            if (event.shiftKey) moveCursor(node);
            else if (node === state.zoom) back();
            else zoomTo(node);
        });
        ui.stage.addEventListener('scroll', () => requestAnimationFrame(draw), {passive: true});
        ui.stage.addEventListener('focus', draw);
        ui.stage.addEventListener('blur', draw);
        ui.search.addEventListener('input', () => {
            search(ui.search.value);
            saveState(false);
        });
        ui.reset.addEventListener('click', reset);
        ui.flip.addEventListener('click', flip);
        ui.help.addEventListener('click', () => ui.keys.showModal());
        ui.keys.addEventListener('click', () => ui.keys.close());
        addEventListener('keydown', onKey);
        addEventListener('hashchange', () => {
            if ((location.hash || '#') !== ownHash) loadState();
        });
        addEventListener('beforeprint', () => showWhole(true));
        addEventListener('afterprint', () => showWhole(false));
        new ResizeObserver(draw).observe(ui.stage); // and its frames, when a scroll bar comes or goes
    }

    buildPage();
    pen.font = `12px ${getComputedStyle(ui.app).fontFamily}`;
    listen();
    showCrumbs();
    showDetails();
    draw();
    if (state.upright) ui.stage.scrollTop = rowTop(0);
    loadState();
})();
