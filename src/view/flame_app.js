// Of the live flame graph (flame_model.js): zoom, search, address and keys.

// ---- Zoom ---------------------------------------------------------------------------------------

let motion = 0
const calm = matchMedia('(prefers-reduced-motion: reduce)')

/** Lets the view glide to the zoomed node; gives up gliding when drawing cannot keep up. */
function glide() {
  cancelAnimationFrame(motion)
  const goal = {from: tree.start[state.zoom], to: tree.start[state.zoom] + tree.total[state.zoom]}
  const begin = {...state.view}
  const t0 = performance.now()
  const finish = () => {
    state.view = goal
    draw()
  }
  if (calm.matches || document.hidden) return finish()
  const step = now => {
    const t = Math.min(Math.max((now - t0) / ZOOM_MS, 0), 1)
    const eased = 1 - (1 - t) ** 3
    state.view = {
      from: begin.from + (goal.from - begin.from) * eased,
      to: begin.to + (goal.to - begin.to) * eased,
    }
    const before = performance.now()
    if (t >= 1) return finish()
    draw()
    motion =
      performance.now() - before > 24 ? requestAnimationFrame(finish) : requestAnimationFrame(step)
  }
  motion = requestAnimationFrame(step)
}

function scrollTo(node) {
  const y = topOf(node)
  const {scrollTop, clientHeight} = ui.stage
  if (y < scrollTop + ROW || y > scrollTop + clientHeight - ROW * 2) {
    const margin = Math.min(ROW * 3, clientHeight / 3)
    ui.stage.scrollTop = state.upright ? y - clientHeight + margin + ROW : y - margin
  }
}

/** The root at its edge; in the middle of a sandwich. */
function scrollToRoot() {
  const y = topOf(0)
  const {clientHeight} = ui.stage
  if (tree.upperEnd) ui.stage.scrollTop = y - clientHeight / 2
  else ui.stage.scrollTop = state.upright ? y : 0
}

function zoomTo(node, {remember = true} = {}) {
  if (node === state.zoom || !(tree.total[node] > 0)) return
  if (remember) state.trail.push(state.zoom)
  state.zoom = node
  state.cursor = node
  state.hover = NOTHING
  saveState(remember)
  showCrumbs()
  showFound()
  showDetails()
  scrollTo(node)
  glide()
}

const back = () => zoomTo(state.trail.pop() ?? 0, {remember: false})
function reset() {
  zoomTo(0)
  state.trail = []
}
function flip() {
  state.upright = !state.upright
  ui.stage.scrollTop = 0
  draw()
  scrollToRoot()
  scrollTo(state.zoom)
  saveState(false)
  draw()
}

// ---- Search -------------------------------------------------------------------------------------

const isMatch = node =>
  state.tone === null
    ? state.matched[tree.frame[node]] === 1
    : node > 0 && tree.tone[node] === state.tone && !isSmaller(node)

/** Whether a node, one of its later siblings or something in them matches: they share a box. */
function anyMatch(node) {
  const end = tree.end[tree.parent[node]]
  let low = 0,
    high = state.matchedNodes.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (state.matchedNodes[middle] < node) low = middle + 1
    else high = middle
  }
  return low < state.matchedNodes.length && state.matchedNodes[low] < end
}

function applyMatch(test, tone = null) {
  state.matched = null
  state.tone = tone
  state.matchedNodes = []
  if (test) {
    state.matched = new Uint8Array(names.length)
    for (let i = 2; i < names.length; i++) state.matched[i] = test(i - 2) ? 1 : 0
    for (let node = tree.upperEnd ? 2 : 1; node < tree.count; node++)
      if (isMatch(node)) state.matchedNodes.push(node)
  }
  showFound()
  draw()
}

/** The value of all matches inside a node; a match within a match is not counted twice. */
function matchedTotal(within) {
  const sums = [0, 0] // callers and callees of a sandwich are the same time twice
  let next = within
  for (const node of state.matchedNodes) {
    if (node >= tree.end[within]) break
    if (node < next) continue
    sums[isUpper(node) ? 1 : 0] += tree.total[node]
    next = tree.end[node]
  }
  return Math.max(...sums)
}

function showFound() {
  if (!state.matched) {
    ui.found.textContent = ''
    return
  }
  let inside = false // a zoomed node below a match is all match
  for (let node = state.zoom; node && !inside; node = parentOf(node)) inside = isMatch(node)
  const sum = matchedTotal(0)
  const zoomed = inside ? tree.total[state.zoom] : matchedTotal(state.zoom)
  ui.found.textContent =
    state.matchedNodes.length === 0
      ? 'no match'
      : `${percent(sum, everything)} matched` +
        (state.zoom ? `, ${percent(zoomed, tree.total[state.zoom])} here` : '')
  ui.found.title = `${amount(sum)} in ${state.matchedNodes.length} frames`
}

function search(text) {
  state.query = text
  setKind(null)
  let pattern = null
  try {
    pattern = text ? new RegExp(text, 'iu') : null
    ui.search.classList.remove('bad')
  } catch {
    // half-typed, or not meant as an expression
    ui.search.classList.add('bad')
    pattern = new RegExp(text.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&'), 'i')
  }
  applyMatch(pattern && (i => pattern.test(data.names[i])))
}

function setKind(entry) {
  state.kind = entry
  for (const other of data.legend)
    other.button.setAttribute('aria-pressed', String(other === entry))
}
function highlightKind(entry) {
  ui.search.value = state.query = ''
  setKind(entry)
  if (data.diff) applyMatch(entry && (() => true), entry && entry.family)
  else applyMatch(entry && (i => familyOf(data.color[i]) === entry.family))
  saveState(false)
}

function nextMatch(step) {
  const list = state.matchedNodes
  if (!list.length) return
  let i = list.findIndex(node => node >= state.cursor)
  if (i < 0) i = list.length
  i = step > 0 ? (list[i] === state.cursor ? i + 1 : i) : i - 1
  const node = list[(i + list.length) % list.length]
  const wide = (tree.total[node] / (state.view.to - state.view.from)) * width()
  const outside = tree.start[node] < state.view.from || tree.start[node] >= state.view.to
  if (wide < NARROWEST * 4 || outside) zoomTo(parentOf(node))
  moveCursor(node)
}

// ---- What the address keeps ---------------------------------------------------------------------

let ownHash = location.hash
function saveState(asStep) {
  const parts = new URLSearchParams()
  if (state.zoom) parts.set('zoom', state.zoom.toString(36))
  if (state.query) parts.set('search', state.query)
  if (state.upright !== data.inverted) parts.set('flip', '1')
  ownHash = parts.size ? '#' + parts : '#'
  if (ownHash === (location.hash || '#')) return
  if (asStep)
    location.hash = ownHash // the browser's own back button works, too
  else location.replace(ownHash)
}
function loadState() {
  const parts = new URLSearchParams(location.hash.slice(1))
  const zoom = parseInt(parts.get('zoom') ?? '0', 36)
  const query = parts.get('search') ?? ''
  state.upright = data.inverted !== (parts.get('flip') === '1')
  if (query !== state.query) {
    ui.search.value = query
    search(query)
  }
  if (zoom >= 0 && zoom < tree.count && zoom !== state.zoom) zoomTo(zoom, {remember: false})
}

// ---- Events -------------------------------------------------------------------------------------

function moveCursor(node) {
  if (node < 0 || node >= tree.count) return
  state.cursor = node
  state.hover = NOTHING
  scrollTo(node)
  showDetails()
  draw()
}

/** The next frame in the same row that is in view, to the right (1) or left (-1). */
function neighbour(node, step) {
  const depth = tree.depth[node]
  for (let other = node + step; other > 0 && other < tree.count; other += step) {
    if (tree.depth[other] === depth && isUpper(other) === isUpper(node))
      return tree.start[other] < state.view.to &&
        tree.start[other] + tree.total[other] > state.view.from
        ? other
        : NOTHING
  }
  return NOTHING
}

const towardsLeaves = () => moveCursor(children(state.cursor)[0] ?? NOTHING)
const towardsRoot = () => moveCursor(state.cursor ? parentOf(state.cursor) : NOTHING)
const towardsCallees = () => (isUpper(state.cursor) ? towardsRoot : towardsLeaves)()
const towardsCallers = () =>
  isUpper(state.cursor)
    ? towardsLeaves()
    : state.cursor === 0 && tree.upperEnd
      ? moveCursor(children(1)[0] ?? NOTHING)
      : towardsRoot()
const actions = {
  ArrowDown: () => (state.upright ? towardsCallers : towardsCallees)(),
  ArrowUp: () => (state.upright ? towardsCallees : towardsCallers)(),
  ArrowLeft: () => moveCursor(neighbour(state.cursor, -1)),
  ArrowRight: () => moveCursor(neighbour(state.cursor, 1)),
  Enter: () => zoomTo(state.cursor),
  ' ': () => zoomTo(state.cursor),
  Home: reset,
  n: () => nextMatch(1),
  N: () => nextMatch(-1),
  c: copyName,
  i: flip,
}
const everywhere = {
  Escape: back,
  Backspace: back,
  '/': () => ui.search.select(),
  '?': () => ui.keys.showModal(),
}

function onKey(event) {
  if (ui.keys.open) return
  if ((event.ctrlKey || event.metaKey) && event.key === 'f') {
    ui.search.select()
    event.preventDefault()
    return
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return
  if (event.target === ui.search) {
    if (event.key === 'Escape') {
      if (ui.search.value) clearSearch()
      ui.stage.focus()
    } else if (event.key === 'Enter') {
      ui.stage.focus()
      nextMatch(1)
    } else {
      return
    }
    event.preventDefault()
    return
  }
  const button = event.target.closest?.('button, summary')
  if (button && (event.key === 'Enter' || event.key === ' ')) return
  const action = everywhere[event.key] ?? actions[event.key]
  if (!action) return
  action()
  event.preventDefault()
}

function clearSearch() {
  ui.search.value = ''
  search('')
  saveState(false)
}

function place(event) {
  const box = ui.frames.getBoundingClientRect()
  return nodeAt(event.clientX - box.left, event.clientY - box.top)
}

function listen() {
  ui.stage.addEventListener('mousemove', event => {
    const node = place(event)
    if (node === state.hover) return
    state.hover = node
    drawOutline(ui.hover, node)
    showDetails()
  })
  ui.stage.addEventListener('mouseleave', () => {
    state.hover = NOTHING
    drawOutline(ui.hover, NOTHING)
    showDetails()
  })
  ui.stage.addEventListener('click', event => {
    const node = place(event)
    if (node < 0) return
    if (event.shiftKey) moveCursor(node)
    else if (node === state.zoom) back()
    else zoomTo(node)
  })
  ui.stage.addEventListener('scroll', () => requestAnimationFrame(draw), {passive: true})
  ui.stage.addEventListener('focus', draw)
  ui.stage.addEventListener('blur', draw)
  ui.search.addEventListener('input', () => {
    search(ui.search.value)
    saveState(false)
  })
  ui.reset.addEventListener('click', reset)
  ui.flip.addEventListener('click', flip)
  ui.help.addEventListener('click', () => ui.keys.showModal())
  ui.keys.addEventListener('click', () => ui.keys.close())
  addEventListener('keydown', onKey)
  addEventListener('hashchange', () => {
    if ((location.hash || '#') !== ownHash) loadState()
  })
  addEventListener('beforeprint', () => showWhole(true))
  addEventListener('afterprint', () => showWhole(false))
  new ResizeObserver(draw).observe(ui.stage) // and its frames, when a scroll bar comes or goes
}

buildPage()
pen.font = `12px ${getComputedStyle(ui.app).fontFamily}`
listen()
showCrumbs()
showDetails()
draw()
scrollToRoot()
draw()
loadState()
