// The live flame graph. The file that carries this script already holds a static picture; this
// replaces it, where scripts run, by one that can be zoomed, searched and read by keyboard.
//
// The tree comes packed (flame_pack.c): nodes in pre-order, siblings by total, largest first, so a
// subtree is the range [node, end[node]) and once a child is too narrow to see, so are all its later
// siblings. Only what is on screen is drawn, wide frames as elements of their own and narrow ones as
// one path for each colour: the number of elements depends on the window, not on the profile.
//
// Four files make one script, within one block: flame_model.js (the tree and its numbers),
// flame_draw.js (what is on screen), flame_page.js (the page around it), flame_app.js (what happens).

const SVG = 'http://www.w3.org/2000/svg'
const HTML = 'http://www.w3.org/1999/xhtml'
const ROW = 18 // px from row to row; one of them is the gap
const NARROWEST = 1.5 // px: narrower frames are drawn together, as one hatched box
const LABELLED = 24 // px: from here on a frame has room for text
const ZOOM_MS = 220
const NOTHING = -1

const root = document.currentScript?.ownerSVGElement ?? document.documentElement
const data = JSON.parse(root.querySelector('#profile').textContent)

// ---- The tree -----------------------------------------------------------------------------------

/** Unpacks the node stream: varints in base64; see flame_pack.c for what they say. */
function unpack(text, count) {
  const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0))
  let at = 0
  const next = () => {
    let value = 0,
      factor = 1,
      byte // not shifts: values have up to 53 bits
    do {
      byte = bytes[at++]
      value += (byte & 127) * factor
      factor *= 128
    } while (byte & 128)
    return value
  }
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
    deepest: 0, // below the root
    highest: 0, // above it: callers in a sandwich
    upperEnd: 0, // nodes [1, upperEnd) hang above the root; node 1 is the root once more
    base: new Float64Array(data.diff ? count : 0), // of a difference: totals before …
    gone: new Float64Array(data.diff ? count : 0), // … the part of the total that is gone …
    tone: new Uint8Array(data.diff ? count : 0), // … and what that means, as in tree_diff.h
  }
  const compared = node => {
    if (!data.diff) return
    tree.base[node] = next()
    tree.gone[node] = next()
    tree.tone[node] = next()
  }
  tree.self[0] = next()
  compared(0)
  for (let node = 1, parent = 0; node < count; node++) {
    for (let up = next(); up > 0; up--) parent = tree.parent[parent]
    tree.parent[node] = parent
    tree.depth[node] = tree.depth[parent] + 1
    tree.frame[node] = next() + 1
    tree.self[node] = next()
    compared(node)
    if (tree.frame[node] === 1) tree.inside.set(node, next())
    parent = node
  }
  const {parent, end, self, total, start} = tree
  for (let node = count - 1; node >= 0; node--) {
    total[node] += self[node]
    end[node] = Math.max(end[node], node + 1)
    if (node === 0) break
    total[parent[node]] += total[node]
    end[parent[node]] = Math.max(end[parent[node]], end[node])
  }
  if (data.upper) {
    tree.upperEnd = end[1]
    total[0] -= total[1]
    for (let node = 1; node < end[1]; node++) tree.depth[node]--
  }
  for (let node = 0; node < count; node++) {
    const side = node < tree.upperEnd && node > 0 ? 'highest' : 'deepest'
    tree[side] = Math.max(tree[side], tree.depth[node])
  }
  const filled = new Float64Array(count)
  for (let node = 1; node < count; node++) {
    if (node === tree.upperEnd) filled[0] = 0 // callees begin at the left edge again
    start[node] = start[parent[node]] + filled[parent[node]]
    filled[parent[node]] += total[node]
  }
  return tree
}

const tree = unpack(data.nodes, data.count)
/** What shares are of: more than the root has when the profile was filtered. */
const everything = data.whole ?? tree.total[0]
const names = [data.root, '', ...data.names]
const isSmaller = node => tree.frame[node] === 1
const isUpper = node => node > 0 && node < tree.upperEnd
const parentOf = node => (isUpper(node) && tree.parent[node] === 1 ? 0 : tree.parent[node])
/** Rows from the root: callers in a sandwich have negative ones. */
const levelOf = node => (isUpper(node) ? -tree.depth[node] : tree.depth[node])

function nameOf(node) {
  return isSmaller(node) ? smallerName(tree.inside.get(node)) : names[tree.frame[node]]
}
function smallerName(n) {
  return `${n.toLocaleString('en').replaceAll(',', '\u202f')} smaller frame${n === 1 ? '' : 's'}`
}
function colorOf(node) {
  return isSmaller(node)
    ? 'smaller'
    : node === 0
      ? 'root'
      : data.diff
        ? toneClass(tree.tone[node])
        : classOf(data.color[tree.frame[node] - 2])
}
const familyOf = color => color >> 2
const toneClass = tone => 't' + 'abcdefghijk'[tone]
const classOf = color => 'c' + 'abcdefghijklmnop'[familyOf(color)] + (color & 3) // as in flame_color.c
function placeOf(node) {
  if (node === 0) return data.title
  if (isSmaller(node)) return 'each too small to be kept on its own'
  const i = tree.frame[node] - 2
  const parts = [data.texts[data.module[i]]]
  if (data.file[i]) parts.push(data.texts[data.file[i]] + (data.line[i] ? ':' + data.line[i] : ''))
  if (data.inlined[i]) parts.push('inlined')
  return parts.filter(Boolean).join(' · ')
}
const firstChild = node => (node === 0 && tree.upperEnd ? tree.upperEnd : node + 1)
function children(node) {
  const list = []
  for (let child = firstChild(node); child < tree.end[node]; child = tree.end[child]) list.push(child)
  return list
}

// ---- Numbers ------------------------------------------------------------------------------------

const SCALES = {
  nanoseconds: [
    [1e9, 's'],
    [1e6, 'ms'],
    [1e3, 'µs'],
    [1, 'ns'],
  ],
  bytes: [
    [2 ** 40, 'TiB'],
    [2 ** 30, 'GiB'],
    [2 ** 20, 'MiB'],
    [2 ** 10, 'KiB'],
    [1, 'B'],
  ],
}
function amount(value) {
  if (value === 0) return '0'
  const scale = SCALES[data.unit]?.find(([size]) => value >= size)
  if (!scale)
    return `${value.toLocaleString('en').replaceAll(',', '\u202f')} ${data.unit === 'count' ? '' : data.unit}`.trim()
  const scaled = value / scale[0]
  const digits = scale[0] === 1 || scaled >= 100 ? 0 : scaled >= 10 ? 1 : 2
  return `${scaled.toFixed(digits)} ${scale[1]}`
}
function percent(part, whole) {
  const share = whole > 0 ? (part / whole) * 100 : 0
  return `${share.toFixed(share === 0 ? 0 : share < 0.095 ? 3 : share < 9.95 ? 2 : 1)} %`
}

/** What became of a frame, in words. */
function changeOf(node) {
  const base = tree.base[node]
  const fresh = tree.total[node] - tree.gone[node]
  const tone = tree.tone[node]
  if (base > 0 && fresh === 0) return 'gone'
  const percents = base > 0 ? `${fresh < base ? '−' : '+'}${percent(Math.abs(fresh - base), base)}` : 'not there before'
  const verdict = tone === 0 ? (node ? 'may be chance' : '') : tone < 5 ? 'more' : tone < 9 ? 'less' : 'new'
  return verdict ? `${percents}, ${verdict}` : percents
}
