// Of the live flame graph (flame_model.js): what it remembers, and the page around the frames.

// ---- State --------------------------------------------------------------------------------------

const state = {
  zoom: 0, // the node that fills the width
  view: {from: 0, to: tree.total[0]}, // values at the left and right edge; moves while zooming
  cursor: 0, // the node that the keyboard is on
  hover: NOTHING,
  trail: [], // zooms to go back to
  upright: data.inverted, // root at the bottom
  query: '',
  matched: null, // by frame: 1 when it matches; null without a search
  matchedNodes: [],
  kind: null, // the legend entry that is searched for
  tone: null, // … when it is one of a difference's
}

// ---- The page -----------------------------------------------------------------------------------

function html(name, attributes = {}, ...inside) {
  const element = document.createElementNS(HTML, name)
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value)
  element.append(...inside)
  return element
}
function svg(name, attributes = {}) {
  const element = document.createElementNS(SVG, name)
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value)
  return element
}

const ui = {
  search: html('input', {
    type: 'search',
    placeholder: 'Search (regular expression)',
    'aria-label': 'Search functions by regular expression',
    spellcheck: 'false',
    autocomplete: 'off',
  }),
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
}
ui.frames.append(ui.narrow, ui.wide, ui.hover, ui.cursor)
ui.stage = html(
  'div',
  {
    class: 'stage',
    tabindex: '0',
    role: 'tree',
    'aria-label': 'Call tree',
    'aria-activedescendant': 'cursor-frame',
  },
  ui.frames,
)
ui.details = html(
  'footer',
  {class: 'details', 'aria-live': 'polite'},
  ui.name,
  ui.sums,
  ui.place,
  ui.share,
)

const KEYS = [
  ['click, Enter', 'zoom into a frame'],
  ['Esc, Backspace', 'back'],
  ['Home', 'show everything'],
  ['↑ ↓ ← →', 'move between frames'],
  ['/, Ctrl-F', 'search; n and N go from match to match'],
  ['c', 'copy the name'],
  ['i', 'flip: root at the top or at the bottom'],
  ['Shift-click', 'select without zooming'],
]
ui.keys = html(
  'dialog',
  {'aria-label': 'Keys'},
  html('h2', {}, 'Keys'),
  html('dl', {}, ...KEYS.flatMap(([key, does]) => [html('dt', {}, key), html('dd', {}, does)])),
)

function buildNotes() {
  if (!data.notes.length) return ''
  const warnings = data.notes.filter(note => note.warn).length
  const summary = warnings
    ? data.notes
        .filter(note => note.warn)
        .map(note => note.text)
        .join(' · ')
    : 'About this profile'
  return html(
    'details',
    {class: warnings ? 'notes warn' : 'notes'},
    html('summary', {}, summary),
    html('ul', {}, ...data.notes.map(note => html('li', {}, note.text))),
  )
}

function buildLegend() {
  for (const entry of data.legend) {
    const swatch = svg('svg', {viewBox: '0 0 10 10', 'aria-hidden': 'true'})
    swatch.append(svg('rect', {width: 10, height: 10, rx: 2, class: data.diff ? toneClass(entry.family) : classOf(entry.family << 2)}))
    const button = html(
      'button',
      {
        type: 'button',
        'aria-pressed': 'false',
        title: data.diff
          ? 'Click to highlight.'
          : `${entry.label}: ${amount(entry.self)} of its own. Click to highlight.`,
      },
      swatch,
      html('span', {class: 'what'}, entry.label),
      data.diff ? '' : percent(entry.self, everything),
    )
    button.addEventListener('click', () => highlightKind(state.kind === entry ? null : entry))
    ui.legend.append(button)
    entry.button = button
  }
}

function buildPage() {
  buildLegend()
  ui.app = html(
    'div',
    {class: 'app'},
    html(
      'header',
      {},
      html(
        'div',
        {class: 'bar'},
        html('h1', {title: data.title}, data.title),
        html('div', {class: 'tools'}, ui.found, ui.search, ui.flip, ui.reset, ui.help),
      ),
      html('p', {class: 'facts'}, data.facts),
      buildNotes(),
      ui.legend,
      ui.crumbs,
    ),
    ui.stage,
    ui.details,
    ui.keys,
  )
  const holder = svg('foreignObject', {class: 'interface', width: '100%', height: '100%'})
  holder.append(ui.app)
  root.append(holder)
  root.removeAttribute('role') // no longer one image
  root.removeAttribute('aria-labelledby')
  showWhole(false)
}

// The file's own size and viewBox belong to the static picture; paper wants them back.
const picture = {
  viewBox: root.getAttribute('viewBox'),
  width: root.getAttribute('width'),
  height: root.getAttribute('height'),
}
function showWhole(onPaper) {
  root.classList.toggle('live', true)
  if (onPaper) {
    for (const [key, value] of Object.entries(picture)) root.setAttribute(key, value)
    root.setAttribute('width', '100%')
    root.removeAttribute('height')
  } else {
    root.removeAttribute('viewBox')
    root.setAttribute('width', '100%')
    root.setAttribute('height', '100%')
  }
}

// ---- Details ------------------------------------------------------------------------------------

function showDetails() {
  const node = state.hover >= 0 ? state.hover : state.cursor
  const total = tree.total[node]
  ui.name.textContent = node === 0 ? names[0] : nameOf(node)
  ui.name.title = ui.name.textContent
  ui.place.textContent = ui.place.title = placeOf(node)
  ui.sums.textContent = data.diff
    ? `${amount(total - tree.gone[node])} now · ${amount(tree.base[node])} before`
    : `${amount(total)} total · ${amount(tree.self[node])} self`
  ui.share.textContent =
    (data.diff ? `${changeOf(node)} · ` : '') +
    `${percent(total, everything)} of everything` +
    (state.zoom && node > state.zoom && node < tree.end[state.zoom]
      ? ` · ${percent(total, tree.total[state.zoom])} of ${cut(shorter(nameOf(state.zoom)).at(-1), 160)}`
      : '') +
    (tree.self[node] && total > tree.self[node]
      ? ` · ${percent(tree.self[node], everything)} self`
      : '')
}

async function copyName() {
  const name = nameOf(state.hover >= 0 ? state.hover : state.cursor)
  try {
    await navigator.clipboard.writeText(name)
  } catch {
    // not from a file: the old way works there
    const text = html('textarea')
    text.value = name
    ui.app.append(text)
    text.select()
    document.execCommand('copy')
    text.remove()
    ui.stage.focus()
  }
  ui.share.textContent = 'name copied'
}

function showCrumbs() {
  const path = []
  for (let node = state.zoom; ; node = parentOf(node)) {
    path.unshift(node)
    if (node === 0) break
  }
  // A deep path shows its beginning and its end.
  const shown = path.length > 8 ? [...path.slice(0, 2), NOTHING, ...path.slice(-5)] : path
  ui.crumbs.replaceChildren(
    ...shown.flatMap((node, i) => {
      const sep = i ? [html('span', {class: 'sep', 'aria-hidden': 'true'}, '›')] : []
      if (node === NOTHING) return [...sep, html('span', {}, '…')]
      const name = node === 0 ? (data.upper ? cut(names[0], 200) : 'all') : shorter(nameOf(node)).at(-1)
      if (node === state.zoom) {
        return [
          ...sep,
          html(
            'span',
            {class: 'here', title: nameOf(node), 'aria-current': 'location'},
            node ? name : 'Click a frame to zoom; press / to search, ? for all keys',
          ),
        ]
      }
      const button = html('button', {type: 'button', title: nameOf(node)}, name)
      button.addEventListener('click', () => zoomTo(node))
      return [...sep, button]
    }),
  )
  ui.reset.disabled = state.zoom === 0
}
