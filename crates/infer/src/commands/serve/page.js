'use strict';
const WORDS = {
  en: {
    title: 'Draw a digit and look inside', photo: 'Open a photo and look inside', draw: 'Draw', clear: 'Clear', open: 'Open an image', answer: 'Answer',
    padlabel: 'Drawing area', padhelp: 'Mouse, finger or pen. With the keyboard: arrow keys move, Space puts the pen down or up. Or drop an image here.',
    bars: 'Probability of each class', epoch: 'Training', inside: 'What the unit saw', seen: 'what the network sees',
    seenlabel: 'What the network sees. With the cover on, arrow keys move it', choose: 'choose a unit in a map below',
    projection: 'The unit sent back to pixels', laid: 'laid over the image', field: 'the pixels that the unit sees',
    method: 'Way back', deconvnet: 'deconvnet', guided: 'guided backprop', gradient: 'gradient', cover: 'Cover a part', heat: 'Where does the answer hang?', layers: 'Every layer’s maps',
    coverhelp: 'The cover is a square of bare paper, on photos of their mean colour: drag it over what the network sees and watch the probabilities.',
    layershelp: 'Click a unit; or focus a map, move with the arrow keys and press Enter.', final: 'the end', epochs: 'epoch', parameters: 'parameters',
    sees: 'sees', map: 'map', token: 'This server asks for its token:', ms: 'ms to the bars and maps', unit: 'unit',
    more: 'all its maps',
    heatdone: 'bright: covering it keeps the answer; dark: it loses it'
  },
  zh: {
    title: '写一个数字，看看网络内部', photo: '打开一张照片，看看网络内部', draw: '手写', clear: '清除', open: '打开图片', answer: '识别结果',
    padlabel: '绘图区', padhelp: '可用鼠标、手指或笔书写。键盘：方向键移动，空格键落笔或提笔。也可以把图片拖到这里。',
    bars: '各类别的概率', epoch: '训练进程', inside: '这个单元看到了什么', seen: '网络看到的图像',
    seenlabel: '网络看到的图像。打开遮挡后可用方向键移动', choose: '请在下方的特征图中选择一个单元',
    projection: '该单元反投影回像素', laid: '叠加在图像上', field: '该单元的感受野',
    method: '反投影方法', deconvnet: '反卷积网络', guided: '引导反向传播', gradient: '梯度', cover: '遮挡一部分', heat: '识别依赖哪里？', layers: '每一层的特征图',
    coverhelp: '遮挡块是一小块空白，在照片上是平均颜色：在“网络看到的图像”上拖动它，观察概率的变化。',
    layershelp: '点击一个单元；或用 Tab 选中特征图，方向键移动，回车确认。', final: '训练结束', epochs: '第几轮：', parameters: '个参数',
    sees: '连接到', map: '特征图', token: '此服务器需要令牌：', ms: '毫秒后画出概率和特征图', unit: '单元',
    more: '显示全部特征图',
    heatdone: '亮：遮住后仍能识别；暗：遮住后识别失败',
    // The server's reasons are in English: what its status means, before them.
    refused: {
      0: '服务器没有正常应答', 400: '请求有误', 401: '令牌不对', 408: '请求超时', 413: '图片太大', 415: '不是 PNG 或 JPEG 图片',
      422: '图片无法使用', 500: '计算出错', 503: '服务器繁忙，请稍后再试', 504: '计算超时'
    }
  }
};
const $ = id => document.getElementById(id);
const state = {
  language: 'en', token: '', models: [], epoch: null, cover: null, blob: null, answer: null, chosen: null, back: null, told: null,
  busy: false, again: false, begun: null, took: null // when what isn't answered yet began, and how long the last answer took
};
try { state.language = localStorage.getItem('language') || (navigator.language.startsWith('zh') ? 'zh' : 'en'); state.token = sessionStorage.getItem('token') || ''; } catch (e) { /* storage is off */ }
if (location.hash.startsWith('#token=')) { state.token = decodeURIComponent(location.hash.slice(7)); history.replaceState(null, '', location.pathname); }
const t = key => WORDS[state.language][key] || key;
// Viridis at nine steps, as in the pictures of `infer visualize`.
const VIRIDIS = [[68,1,84],[71,45,123],[59,82,139],[44,114,142],[33,145,140],[40,174,128],[94,201,98],[173,220,48],[253,231,37]];
function viridis(v) { const a = Math.max(0, Math.min(1, v)) * 8, i = Math.min(7, Math.floor(a)), r = a - i; return VIRIDIS[i].map((c, k) => c + (VIRIDIS[i + 1][k] - c) * r); }

function speak() {
  document.documentElement.lang = state.language === 'zh' ? 'zh-Hans' : 'en';
  for (const e of document.querySelectorAll('[data-t]')) e.textContent = t(e.dataset.t);
  for (const e of document.querySelectorAll('[data-l]')) e.setAttribute('aria-label', t(e.dataset.l));
  const zh = state.language === 'zh';
  $('language').textContent = zh ? 'English' : '中文';
  $('language').lang = zh ? 'en' : 'zh';
  $('language').setAttribute('aria-label', zh ? 'Switch to English' : '切换到中文');
  document.querySelectorAll('.map canvas').forEach(nameMap);
  if (state.chosen) nameUnit();
  nameTime();
  tell(state.told);
  if (state.models.length) {
    epochName();
    const { model, parameters } = state.models[0];
    $('about').textContent = `${model} · ${parameters.toLocaleString('en')} ${t('parameters')}`;
  }
  document.title = $('title').textContent;
}

/** Below the pad: a key of WORDS, an error, or nothing. */
function tell(what) {
  const { refused } = WORDS[state.language], error = what instanceof Error;
  state.told = what;
  $('error').textContent = !what ? '' : !error ? t(what) : refused ? `${refused[what.status] || refused[0]}（${what.message}）` : what.message;
}

async function ask(path, body) {
  const headers = state.token ? { Authorization: 'Bearer ' + state.token } : {};
  const response = await fetch(path, { method: body ? 'POST' : 'GET', headers, body });
  if (response.status === 401) {
    const token = prompt(t('token'));
    if (token) { state.token = token; try { sessionStorage.setItem('token', token); } catch (e) { /* storage is off */ } return ask(path, body); }
  }
  const json = await response.json();
  if (!response.ok) throw Object.assign(new Error(json.error), { status: response.status });
  return json;
}
function query(more) {
  const q = new URLSearchParams(more || {});
  if (state.epoch !== null) q.set('epoch', state.epoch);
  if (state.cover) q.set('cover', state.cover.join(','));
  return '?' + q;
}

// ---- pictures
function paint(canvas, w, h, colour) {
  canvas.width = w; canvas.height = h;
  const c = canvas.getContext('2d'), image = c.createImageData(w, h);
  for (let i = 0; i < w * h; i++) { const [r, g, b] = colour(i); image.data.set([r, g, b, 255], 4 * i); }
  c.putImageData(image, 0, 0);
}
function pixel(input, i) { const [c, h, w] = input.shape, n = h * w; return [0, 1, 2].map(k => input.pixels[Math.min(k, c - 1) * n + i]); }
function signedAt(p, i) { // middle grey is zero
  const [c, h, w] = p.shape, n = h * w, big = Math.max(Math.abs(p.least), Math.abs(p.greatest)) || 1;
  return [0, 1, 2].map(k => { const v = p.least + p.levels[Math.min(k, c - 1) * n + i] / 255 * (p.greatest - p.least); return v / big; });
}
function paintSeen() {
  const input = state.answer.input, [, h, w] = input.shape;
  paint($('seen'), w, h, i => pixel(input, i));
}

// ---- the answer
function bars(answer) {
  $('answer').textContent = answer.class;
  const classes = state.models[0].classes, few = classes.length <= 10;
  const rows = few ? classes.map(c => answer.top.find(g => g.class === c) || { class: c, probability: 0 }) : answer.top;
  $('bars').replaceChildren(...rows.map(g => {
    const li = document.createElement('li'), name = document.createElement('span'), box = document.createElement('span'), bar = document.createElement('i'), number = document.createElement('span');
    name.textContent = g.class; name.title = g.class;
    bar.style.width = 100 * g.probability + '%'; box.append(bar);
    number.textContent = (100 * g.probability).toFixed(1) + ' %';
    li.append(name, box, number);
    return li;
  }));
}
function nameTime() { $('time').textContent = state.took === null ? '' : `${state.took} ${t('ms')}`; }
async function look() {
  if (!state.blob) return;
  state.begun ??= performance.now(); // a stroke began before
  if (state.busy) { state.again = true; return; }
  state.busy = true;
  const { begun } = state;
  state.begun = null;
  try {
    const answer = await ask('/v1/activations' + query(), state.blob);
    if (!state.blob) return; // cleared meanwhile
    // Dropout drops nothing here: its maps are those before it.
    const drops = new Set(state.models[0].layers.filter(l => l.kind === 'dropout').map(l => l.name));
    answer.layers = answer.layers.filter(l => !drops.has(l.layer));
    state.answer = answer;
    tell(null);
    bars(answer); paintSeen(); layers(answer);
    state.took = Math.round(performance.now() - begun); nameTime();
    if (state.chosen) await project();
  } catch (e) { tell(e); }
  finally { state.busy = false; if (state.again) { state.again = false; look(); } }
}

// ---- maps
function layers(answer) {
  const box = $('layers');
  if (box.children.length !== answer.layers.length) {
    box.replaceChildren(...answer.layers.map(layer => {
      const [maps, h, w] = layer.shape, one = h * w === 1;
      const row = document.createElement('div'); row.className = 'layer';
      const name = document.createElement('h3'); name.style.cssText = 'font-size:.9rem;margin:0 0 .3rem';
      name.textContent = `${layer.layer}: ${maps} × ${h} × ${w}`;
      const all = document.createElement('div'); all.className = 'maps';
      const count = one ? 1 : Math.min(maps, 64);
      for (let map = 0; map < count; map++) all.append(one ? strip(layer) : tile(layer, map));
      if (count < maps && !one) {
        const more = document.createElement('button');
        more.textContent = t('more'); more.dataset.t = 'more';
        more.addEventListener('click', () => { more.remove(); for (let map = count; map < maps; map++) all.append(tile(layer, map)); layers(state.answer); });
        all.append(more);
      }
      row.append(name, all);
      return row;
    }));
  }
  answer.layers.forEach((layer, l) => {
    const [maps, h, w] = layer.shape, one = h * w === 1;
    box.children[l].querySelectorAll('canvas').forEach((canvas, map) => {
      if (one) paint(canvas, canvas.width, canvas.height, i => i < maps ? viridis(layer.levels[i] / 255) : [128, 128, 128]);
      else paint(canvas, w, h, i => viridis(layer.levels[map * h * w + i] / 255));
    });
  });
  mark();
}
function interactive(canvas, pick) {
  canvas.tabIndex = 0; canvas.setAttribute('role', 'button'); nameMap(canvas);
  let at = [Math.floor(canvas.height / 2), Math.floor(canvas.width / 2)];
  canvas.addEventListener('click', e => {
    const r = canvas.getBoundingClientRect();
    if (e.detail) at = [Math.min(canvas.height - 1, Math.max(0, Math.floor((e.clientY - r.top) / r.height * canvas.height))), Math.min(canvas.width - 1, Math.max(0, Math.floor((e.clientX - r.left) / r.width * canvas.width)))];
    pick(...at);
  });
  canvas.addEventListener('keydown', e => {
    const d = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[e.key];
    if (d) { at = [Math.max(0, Math.min(canvas.height - 1, at[0] + d[0])), Math.max(0, Math.min(canvas.width - 1, at[1] + d[1]))]; e.preventDefault(); pick(...at); }
    if (e.key === 'Enter' || e.key === ' ') { e.preventDefault(); pick(...at); }
  });
}
function nameMap(canvas) {
  const { layer, map } = canvas.parentNode.dataset;
  canvas.setAttribute('aria-label', map === undefined ? `${layer} ${t('unit')}` : `${layer} ${t('map')} ${map}`);
}
function tile(layer, map) {
  const [, h, w] = layer.shape, box = document.createElement('div'), canvas = document.createElement('canvas'), name = document.createElement('div');
  box.className = 'map'; box.dataset.layer = layer.layer; box.dataset.map = map;
  canvas.width = w; canvas.height = h;
  const side = Math.max(50, Math.min(84, 3 * w)); canvas.style.width = side + 'px'; canvas.style.height = side * h / w + 'px';
  name.textContent = map;
  box.append(canvas, name);
  interactive(canvas, (y, x) => choose(layer.layer, map, y, x));
  return box;
}
function strip(layer) {
  const maps = layer.shape[0], across = Math.min(maps, maps > 128 ? 128 : 42), box = document.createElement('div'), canvas = document.createElement('canvas');
  box.className = 'map'; box.dataset.layer = layer.layer;
  canvas.width = across; canvas.height = Math.ceil(maps / across);
  const unit = maps > 128 ? 5 : Math.min(22, Math.floor(460 / across)); canvas.style.width = across * unit + 'px'; canvas.style.maxWidth = '100%'; canvas.style.height = 'auto';
  box.append(canvas);
  interactive(canvas, (y, x) => { const map = y * across + x; if (map < maps) choose(layer.layer, map, 0, 0); });
  return box;
}
function choose(layer, map, y, x) { state.chosen = { layer, map, y, x }; state.back = null; mark(); project(); }
function mark() {
  for (const e of document.querySelectorAll('.map')) e.classList.remove('chosen', 'from');
  const c = state.chosen, net = state.models[0];
  if (!c) return;
  for (const e of document.querySelectorAll('.map')) {
    if (e.dataset.layer === c.layer && (e.dataset.map === undefined || +e.dataset.map === c.map)) e.classList.add('chosen');
  }
  const seen = connected(c);
  if (seen) {
    const before = net.layers[net.layers.findIndex(l => l.name === c.layer) - 1].name;
    for (const e of document.querySelectorAll('.map')) if (e.dataset.layer === before && seen.includes(+e.dataset.map)) e.classList.add('from');
  }
}
function connected(c) { const table = state.models[0].connections; return table && table.layer === c.layer ? table.maps[c.map] : null; }
function nameUnit() {
  const c = state.chosen, p = state.back, seen = connected(c), net = state.models[0];
  let text = `${c.layer} ${t('map')} ${c.map}, ${t('unit')} ${c.y}, ${c.x}`;
  if (p) text += ': ' + p.activation.toPrecision(3);
  if (seen) text += ` · ${t('sees')} ${net.layers[net.layers.findIndex(l => l.name === c.layer) - 1].name} ${seen.join(', ')}`;
  $('unitname').textContent = text;
  $('unitname').removeAttribute('data-t');
}
async function project() {
  const c = state.chosen;
  if (!c || !state.blob) return;
  try {
    const p = await ask('/v1/deconvnet' + query({ layer: c.layer, map: c.map, y: c.y, x: c.x, method: $('method').value }), state.blob);
    if (state.chosen !== c) return; // another was chosen meanwhile
    const [, h, w] = p.shape, f = p.receptive_field;
    paint($('projection'), w, h, i => signedAt(p, i).map(v => 127.5 + 127.5 * v));
    paint($('laid'), w, h, i => {
      const s = signedAt(p, i).reduce((a, b) => Math.abs(a) > Math.abs(b) ? a : b), base = pixel(p.input, i).map(v => 40 + v * .6), to = s > 0 ? [255, 140, 0] : [60, 160, 255], a = Math.min(1, Math.abs(s) * 1.2);
      return base.map((v, k) => v * (1 - a) + to[k] * a);
    });
    paint($('field'), f.width, f.height, i => pixel(p.input, (f.top + Math.floor(i / f.width)) * w + f.left + i % f.width));
    $('field').style.width = 100 * Math.max(.25, f.width / w) + '%';
    state.back = p; nameUnit();
  } catch (e) { tell(e); }
}

// ---- drawing
const pad = $('pad'), pen = pad.getContext('2d', { willReadFrequently: true });
let down = false, last = null, drawn = false, cursor = [140, 140], keyDown = false;
function blank() { pen.fillStyle = '#fff'; pen.fillRect(0, 0, 280, 280); pen.lineCap = pen.lineJoin = 'round'; pen.lineWidth = 20; pen.strokeStyle = '#000'; drawn = false; }
function at(e) { const r = pad.getBoundingClientRect(); return [(e.clientX - r.left) / r.width * 280, (e.clientY - r.top) / r.height * 280]; }
function stroke(to, time) { since ??= time; pen.beginPath(); pen.moveTo(...(last || to)); pen.lineTo(to[0], to[1] + .01); pen.stroke(); last = to; drawn = true; send(); }
let sending = false, since = null; // when the first stroke came that is in no picture yet
function send() {
  if (sending) return;
  sending = true;
  requestAnimationFrame(() => {
    const begun = since;
    since = null;
    pad.toBlob(blob => {
      sending = false;
      if (drawn) { state.blob = blob; state.begun ??= begun; look(); }
      if (since !== null) send();
    }, 'image/png');
  });
}
pad.addEventListener('pointerdown', e => { if (!drawn) blank(); down = true; last = null; pad.setPointerCapture(e.pointerId); stroke(at(e), e.timeStamp); });
pad.addEventListener('pointermove', e => { if (down) for (const p of (e.getCoalescedEvents ? e.getCoalescedEvents() : []).concat(e)) stroke(at(p), p.timeStamp); });
for (const end of ['pointerup', 'pointercancel']) pad.addEventListener(end, () => { down = false; last = null; });
pad.addEventListener('keydown', e => {
  const d = { ArrowUp: [0, -10], ArrowDown: [0, 10], ArrowLeft: [-10, 0], ArrowRight: [10, 0] }[e.key];
  if (e.key === ' ') { e.preventDefault(); if (!drawn) blank(); keyDown = !keyDown; last = null; if (keyDown) stroke([...cursor], e.timeStamp); }
  if (d) { e.preventDefault(); cursor = cursor.map((v, k) => Math.max(0, Math.min(280, v + d[k]))); if (keyDown) stroke([...cursor], e.timeStamp); }
});
function clear() {
  blank(); last = since = null; keyDown = false;
  state.blob = state.answer = state.chosen = state.back = state.cover = state.begun = state.took = null;
  $('cover').setAttribute('aria-pressed', 'false');
  $('answer').textContent = '–'; nameTime(); tell(null);
  $('bars').replaceChildren(); $('layers').replaceChildren();
  $('unitname').dataset.t = 'choose'; $('unitname').textContent = t('choose');
  for (const id of ['seen', 'projection', 'laid', 'field']) paint($(id), 32, 32, () => [128, 128, 128]);
}
$('clear').addEventListener('click', clear);
function take(file) {
  if (!file) return;
  clear(); state.blob = file; drawn = false;
  createImageBitmap(file).then(image => {
    const s = Math.min(280 / image.width, 280 / image.height);
    pen.drawImage(image, (280 - image.width * s) / 2, (280 - image.height * s) / 2, image.width * s, image.height * s);
  }).catch(() => {});
  look();
}
$('open').addEventListener('click', () => $('file').click());
$('file').addEventListener('change', e => { take(e.target.files[0]); e.target.value = ''; });
for (const over of ['dragover', 'dragenter']) document.addEventListener(over, e => { e.preventDefault(); pad.classList.add('drop'); });
document.addEventListener('dragleave', () => pad.classList.remove('drop'));
document.addEventListener('drop', e => { e.preventDefault(); pad.classList.remove('drop'); take(e.dataTransfer.files[0]); });

// ---- covering
function cover(y, x) {
  const [, h, w] = state.answer ? state.answer.input.shape : [1, 32, 32], side = Math.round(Math.min(h, w) / 4);
  state.cover = [Math.max(0, Math.min(h - side, Math.round(y - side / 2))), Math.max(0, Math.min(w - side, Math.round(x - side / 2))), side, side];
  look();
}
$('cover').addEventListener('click', () => {
  const on = !state.cover;
  $('cover').setAttribute('aria-pressed', on);
  if (on) { const [, h, w] = state.answer ? state.answer.input.shape : [1, 32, 32]; cover(h / 2, w / 2); } else { state.cover = null; look(); }
});
const seen = $('seen');
function drag(e) { const r = seen.getBoundingClientRect(); cover((e.clientY - r.top) / r.height * seen.height, (e.clientX - r.left) / r.width * seen.width); }
let dragging = false;
seen.addEventListener('pointerdown', e => { if (state.cover && state.answer) { dragging = true; seen.setPointerCapture(e.pointerId); drag(e); } });
seen.addEventListener('pointermove', e => { if (dragging) drag(e); });
for (const end of ['pointerup', 'pointercancel']) seen.addEventListener(end, () => { dragging = false; });
seen.addEventListener('keydown', e => {
  const d = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[e.key];
  if (d && state.cover) { e.preventDefault(); const [y, x, side] = state.cover; cover(y + side / 2 + d[0], x + side / 2 + d[1]); }
});
$('heat').addEventListener('click', async () => {
  if (!state.blob) return;
  try {
    const q = new URLSearchParams(state.epoch !== null ? { epoch: state.epoch } : {});
    const { heat } = await ask('/v1/occlusion?' + q, state.blob), [h, w] = heat.shape;
    paint($('laid'), w, h, i => viridis(heat.probability[i]).map((v, k) => .7 * v + .3 * pixel(state.answer.input, i)[k]));
    tell('heatdone');
  } catch (e) { tell(e); }
});
$('method').addEventListener('change', project);

// ---- the run's checkpoints
function epochName() {
  const m = state.order ? state.order[+$('epoch').value] : null;
  $('epochname').textContent = !m || m.epoch === null ? t('final') : `${t('epochs')} ${m.epoch}`;
}
$('epoch').addEventListener('input', () => { state.epoch = state.order[+$('epoch').value].epoch; epochName(); look(); });
$('language').addEventListener('click', () => {
  state.language = state.language === 'en' ? 'zh' : 'en';
  try { localStorage.setItem('language', state.language); } catch (e) { /* storage is off */ }
  speak();
});

clear(); speak();
ask('/v1/models').then(({ models }) => {
  state.models = models;
  const net = models[0];
  if (net.input.channels > 1) $('title').dataset.t = 'photo';
  if (models.length > 1) {
    state.order = models.slice(1).concat(net);
    $('epoch').max = models.length - 1; $('epoch').value = models.length - 1;
    $('training').hidden = false;
  }
  speak();
  document.body.dataset.ready = 'yes';
}).catch(tell);
