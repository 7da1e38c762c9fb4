'use strict';
// The page of a trace. `trace` is the object that vblk has written: what there is of each request as columns in base64,
// little endian, and the chains of some.
const types = ['read', 'write', 'flush', 'id', 'discard', 'zero', 'other'];
const colours = ['--read', '--write', '--flush', '--other', '--other', '--other', '--other'];
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const byId = (id) => document.getElementById(id);

function column(text, Type) {
  if (Uint8Array.fromBase64) return new Type(Uint8Array.fromBase64(text).buffer);
  const binary = atob(text), bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  return new Type(bytes.buffer);
}
function seconds(text) {
  const units = column(text, Uint32Array), times = new Float64Array(units.length);
  for (let i = 0; i < times.length; i++) times[i] = units[i] * trace.unit;
  return times;
}
// In order of `taken`. Times are seconds since the trace began.
const taken = seconds(trace.taken);
const latency = column(trace.latency, Float32Array); // microseconds; -1: not done; below: a reset ended it, after 2 less
const sector = column(trace.sector, Float64Array);
const bytes = column(trace.bytes, Uint32Array);
const info = column(trace.info, Uint32Array); // queue << 16 | status << 8 | wrong << 7 | type
const ring = column(trace.ring, Uint32Array); // entries of the ring << 16 | index of this one
const signals = [seconds(trace.kicks), seconds(trace.interrupts)];
const count = taken.length;
const typeOf = (i) => info[i] & 0x7f, isWrong = (i) => (info[i] & 0x80) !== 0;
const statusOf = (i) => (info[i] >> 8) & 0xff, queueOf = (i) => info[i] >>> 16;
const after = (i) => (latency[i] >= 0 ? latency[i] : latency[i] === -1 ? Infinity : -2 - latency[i]) / 1e6;
const doneAt = (i) => taken[i] + after(i); // or ended
const done = new Float64Array(count);
for (let i = 0; i < count; i++) done[i] = doneAt(i);
done.sort();
const end = Math.max(trace.seconds, 1e-6);

// How many of the sorted times are at most t.
function until(times, t) {
  let low = 0, high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] <= t) low = middle + 1; else high = middle;
  }
  return low;
}

const time = (seconds) => seconds < 1e-3 ? `${(seconds * 1e6).toFixed(1)} µs` :
    seconds < 1 ? `${(seconds * 1e3).toFixed(2)} ms` : `${seconds.toFixed(3)} s`;
const size = (n) => n % 1048576 === 0 && n ? `${n / 1048576} MiB` : n % 1024 === 0 && n ? `${n / 1024} KiB` : `${n} B`;

let view = {from: 0, to: end}, chosen = count > 0 ? (trace.first || 0) : -1;

function prepare(canvas) {
  const scale = window.devicePixelRatio || 1, box = canvas.getBoundingClientRect();
  canvas.width = Math.max(1, Math.round(box.width * scale));
  canvas.height = Math.max(1, Math.round(box.height * scale));
  const pen = canvas.getContext('2d');
  pen.scale(scale, scale);
  pen.font = '12px system-ui, sans-serif';
  return {pen, width: box.width, height: box.height};
}
const left = 64, right = 12, top_ = 20, bottom = 20;
const xOf = (t, width) => left + (t - view.from) / (view.to - view.from) * (width - left - right);
const tOf = (x, width) => view.from + (x - left) / (width - left - right) * (view.to - view.from);

function frame(c, title, labels) {
  const {pen, width, height} = c;
  pen.fillStyle = colour('--text');
  pen.fillText(title, left, 13);
  pen.fillStyle = colour('--soft');
  pen.strokeStyle = colour('--rule');
  for (const [part, label] of labels) {
    const y = top_ + (1 - part) * (height - top_ - bottom);
    pen.beginPath();
    pen.moveTo(left, y);
    pen.lineTo(width - right, y);
    pen.stroke();
    pen.textAlign = 'right';
    pen.fillText(label, left - 6, y + 4);
  }
  for (let i = 0; i <= 4; i++) {
    const t = view.from + (view.to - view.from) * i / 4;
    pen.textAlign = i === 0 ? 'left' : i === 4 ? 'right' : 'center';
    if (i % 2 === 0 || width > 600) pen.fillText(time(t), xOf(t, width), height - 5);
  }
  pen.textAlign = 'left';
}

function mark(c) {
  if (chosen < 0) return;
  const x = xOf(taken[chosen], c.width);
  if (x < left || x > c.width - right) return;
  c.pen.strokeStyle = colour('--chosen');
  c.pen.beginPath();
  c.pen.moveTo(x, top_);
  c.pen.lineTo(x, c.height - bottom);
  c.pen.stroke();
}

// The highest depth in each column of pixels.
function drawDepth() {
  const c = prepare(byId('depth')), columns = Math.max(1, Math.floor(c.width - left - right));
  const depth = new Float64Array(columns), step = (view.to - view.from) / columns;
  let most = 1, a = until(taken, view.from), d = until(done, view.from);
  for (let x = 0; x < columns; x++) {
    const stop = view.from + (x + 1) * step;
    depth[x] = a - d;
    while (a < count && taken[a] <= stop) {
      while (d < count && done[d] <= taken[a]) d++;
      depth[x] = Math.max(depth[x], ++a - d);
    }
    while (d < count && done[d] <= stop) d++;
    most = Math.max(most, depth[x]);
  }
  frame(c, 'requests in flight', [[0, '0'], [1, String(most)]]);
  c.pen.fillStyle = colour('--read');
  for (let x = 0; x < columns; x++) {
    const h = depth[x] / most * (c.height - top_ - bottom);
    c.pen.fillRect(left + x, c.height - bottom - h, 1, h);
  }
  mark(c);
}

// A point for each request, on a logarithmic scale; of those that would be drawn at the same place one.
function drawLatency() {
  const c = prepare(byId('latency')), height = c.height - top_ - bottom;
  const low = Math.log10(1), high = Math.log10(Math.max(10, trace.slowest));
  const labels = [];
  for (let e = 0; e <= high; e++) labels.push([(e - low) / (high - low), time(10 ** e / 1e6)]);
  frame(c, 'from the ring to the ring', labels);
  const first = until(taken, view.from) , last = until(taken, view.to);
  const width = Math.ceil(c.width), seen = new Uint8Array(width * Math.ceil(c.height));
  for (let i = first; i < last; i++) {
    if (latency[i] < 0) continue;
    const x = Math.round(xOf(taken[i], c.width));
    const part = (Math.log10(Math.max(1, latency[i])) - low) / (high - low);
    const y = Math.round(top_ + (1 - part) * height), place = y * width + x;
    if (seen[place] && !isWrong(i)) continue;
    seen[place] = 1;
    const wrong = isWrong(i) || statusOf(i) !== 0;
    c.pen.fillStyle = colour.cache[wrong ? '--bad' : colours[typeOf(i)]];
    c.pen.fillRect(x - 1, y - 1, wrong ? 4 : 2, wrong ? 4 : 2);
  }
  mark(c);
}

// How many kicks and interrupts there were in each column of pixels.
function drawSignals() {
  const c = prepare(byId('signals')), columns = Math.max(1, Math.floor(c.width - left - right));
  const step = (view.to - view.from) / columns, half = (c.height - top_ - bottom) / 2;
  frame(c, 'kicks, and interrupts below', [[0.5, '']]);
  c.pen.fillStyle = colour('--soft');
  signals.forEach((times, row) => {
    const counts = new Uint32Array(columns);
    for (let i = until(times, view.from); i < times.length && times[i] < view.to; i++) {
      counts[Math.min(columns - 1, Math.floor((times[i] - view.from) / step))]++;
    }
    const most = counts.reduce((a, b) => Math.max(a, b), 1);
    c.pen.textAlign = 'right';
    c.pen.fillText(String(most), left - 6, top_ + (row ? 2 * half : 9));
    c.pen.textAlign = 'left';
    for (let x = 0; x < columns; x++) {
      const h = Math.ceil(counts[x] / most * (half - 2));
      c.pen.fillRect(left + x, row ? top_ + half + 1 : top_ + half - h, 1, h);
    }
  });
  mark(c);
}

// The ring as it was when the chosen request was taken.
function drawRing() {
  const c = prepare(byId('ring')), {pen, width, height} = c;
  if (chosen < 0) return;
  const queue = queueOf(chosen), t = taken[chosen], entries = ring[chosen] >>> 16;
  const flight = new Map(); // entry: request
  for (let i = 0; i <= chosen; i++) {
    if (queueOf(i) === queue && doneAt(i) > t) flight.set((ring[i] & 0xffff) % entries, i);
  }
  const next = (ring[chosen] & 0xffff) + 1 & 0xffff, used = next - flight.size & 0xffff;
  const x0 = width / 2, y0 = height / 2, radius = Math.min(x0, y0) - 44;
  const angle = (n) => n / entries * 2 * Math.PI - Math.PI / 2;
  for (let n = 0; n < entries; n++) {
    const request = flight.get(n), wide = 2 * Math.PI / entries * 0.82;
    pen.strokeStyle = request === undefined ? colour('--rule') :
        colour(request === chosen ? '--chosen' : isWrong(request) ? '--bad' : colours[typeOf(request)]);
    pen.lineWidth = 16;
    pen.beginPath();
    pen.arc(x0, y0, radius, angle(n), angle(n) + wide);
    pen.stroke();
  }
  pen.lineWidth = 1;
  pen.textAlign = 'center';
  pen.fillStyle = colour('--text');
  for (const [n, label, far] of [[next, 'next', 24], [used, 'used', -24]]) {
    const a = angle(n % entries), r = radius + far;
    pen.fillText(label, x0 + Math.cos(a) * r, y0 + Math.sin(a) * r + 4);
  }
  pen.fillStyle = colour('--soft');
  pen.fillText(`queue ${queue}, ${entries} entries`, x0, y0 - 18);
  pen.fillStyle = colour('--text');
  pen.fillText(`${flight.size} with the device`, x0, y0 + 2);
  pen.fillText(`next index ${next}, used.idx ${used}`, x0, y0 + 22);
  pen.textAlign = 'left';
}

function cell(row, text, span) {
  const td = row.insertCell();
  td.textContent = text;
  if (span) td.colSpan = span;
}

function drawChain() {
  const table = byId('chain');
  table.textContent = '';
  if (chosen < 0) return;
  const i = chosen, kind = types[typeOf(i)];
  byId('number').value = i + 1;
  byId('what').textContent = `#${i + 1}: ${kind}` + (bytes[i] ? `, ${size(bytes[i])}` : '') +
      (typeOf(i) < 2 ? ` at sector ${sector[i]}` : '') + `; taken at ${time(taken[i])}, ` +
      (latency[i] >= 0 ? `status ${statusOf(i)} after ${time(after(i))}` :
      latency[i] === -1 ? 'not done before the trace ends' : `ended after ${time(after(i))}, by a reset of its queue`);
  const chain = trace.chains[i];
  if (!chain) {
    cell(table.insertRow(), 'Its descriptors are not in this page; vblk trace chain shows them.');
    return;
  }
  const head = table.createTHead().insertRow();
  for (const text of ['descriptor', 'address', 'length', 'the device', 'next']) {
    const th = document.createElement('th');
    th.textContent = text;
    head.append(th);
  }
  const body = table.createTBody();
  for (const d of chain.descriptors) {
    const row = body.insertRow();
    cell(row, d.index);
    cell(row, d.addr);
    cell(row, size(d.len));
    cell(row, d.flags & 4 ? 'reads a table' : d.flags & 2 ? 'writes' : 'reads');
    cell(row, d.flags & 1 ? d.next : d.flags & 4 ? 'table' : 'end');
    for (const text of d.wrong || []) {
      const bad = body.insertRow();
      bad.className = 'wrong';
      cell(bad, `✗ ${text}`, 5);
    }
  }
}

function draw() {
  colour.cache = Object.fromEntries(['--bad', ...new Set(colours)].map((name) => [name, colour(name)]));
  drawDepth();
  drawLatency();
  drawSignals();
  drawRing();
  drawChain();
}

function choose(i) {
  if (i < 0 || i >= count) return;
  chosen = i;
  if (taken[i] < view.from || taken[i] > view.to) view = {from: 0, to: end};
  draw();
}

// A click chooses the nearest request, a drag zooms, two clicks show all.
for (const id of ['depth', 'latency', 'signals']) {
  const canvas = byId(id);
  let begin = null;
  canvas.addEventListener('pointerdown', (e) => {
    begin = e.offsetX;
    canvas.setPointerCapture(e.pointerId);
  });
  canvas.addEventListener('pointercancel', () => begin = null); // the page scrolls
  canvas.addEventListener('pointerup', (e) => {
    if (begin === null) return;
    const width = canvas.getBoundingClientRect().width;
    const [a, b] = [begin, e.offsetX].sort((x, y) => x - y).map((x) => tOf(x, width));
    const zoomed = Math.abs(e.offsetX - begin) > 5;
    begin = null;
    if (zoomed && b - a > 1e-8) {
      view = {from: Math.max(0, a), to: Math.min(end, b)};
      draw();
      return;
    }
    const i = until(taken, a);
    choose(i > 0 && (i === count || a - taken[i - 1] < taken[i] - a) ? i - 1 : i);
  });
  canvas.addEventListener('dblclick', () => {
    view = {from: 0, to: end};
    draw();
  });
}
byId('all').addEventListener('click', () => {
  view = {from: 0, to: end};
  draw();
});
byId('before').addEventListener('click', () => choose(chosen - 1));
byId('after').addEventListener('click', () => choose(chosen + 1));
byId('wrong').addEventListener('click', () => {
  for (let n = 1; n <= count; n++) {
    const i = (chosen + n) % count;
    if (isWrong(i) || statusOf(i) !== 0) return choose(i);
  }
});
byId('number').addEventListener('change', (e) => choose(Number(e.target.value) - 1));
window.addEventListener('resize', draw);
const fromAddress = () => choose(Number(location.hash.slice(1)) - 1); // page.html#12
window.addEventListener('hashchange', fromAddress);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
draw();
fromAddress();
document.body.dataset.drawn = Math.round(performance.now()); // milliseconds since the page was opened
