// The page of `infer serve` in a real browser.
//
//     npm ci --prefix crates/infer/tests/page
//     CHROMIUM=/usr/bin/chromium node crates/infer/tests/page/test.cjs target/debug/infer [DIRECTORY FOR SCREENSHOTS]
'use strict';
const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { chromium } = require('playwright-core');

const [infer, shots] = process.argv.slice(2);
const THREE = [[85, 75], [105, 55], [140, 45], [175, 55], [190, 85], [175, 115], [140, 130], [175, 142], [200, 175], [185, 215], [145, 235], [105, 228], [80, 205]];

async function serve(more) {
  const child = spawn(infer, ['serve', '--listen', '127.0.0.1:0', ...more], { stdio: ['ignore', 'pipe', 'inherit'] });
  const address = await new Promise((found, failed) => {
    let text = '';
    child.on('exit', code => failed(new Error(`infer ended with ${code}`)));
    child.stdout.on('data', data => { text += data; const m = text.match(/http:\/\/[^/]+\//); if (m) found(m[0]); });
  });
  return { child, address };
}

/** A run that kept one epoch: the weights that ship, every other one's sign turned. */
function run() {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'run-'));
  const weights = fs.readFileSync(path.join(__dirname, '../../../models/weights/lenet5-mnist.safetensors'));
  for (let at = 8 + Number(weights.readBigUInt64LE(0)) + 3; at < weights.length; at += 8) weights[at] ^= 0x80;
  fs.writeFileSync(path.join(dir, 'epoch-1.safetensors'), weights);
  return dir;
}

async function open(browser, address, options) {
  const context = await browser.newContext({ locale: 'en-GB', viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const problems = [];
  page.on('pageerror', e => problems.push(String(e)));
  page.on('console', m => { if (m.type() === 'error') problems.push(m.text()); });
  page.on('request', r => { if (!r.url().startsWith(address) && !/^(data|blob):/.test(r.url())) problems.push('asks ' + r.url()); });
  await page.goto(address);
  await page.waitForSelector('body[data-ready=yes]');
  return { context, page, problems };
}

const photo = name => path.join(__dirname, '../cifar10', name + '.jpg');

/** A finger along points, in shares of the element's sides. */
async function finger(page, id, points) {
  const element = page.locator(id);
  await element.scrollIntoViewIfNeeded();
  const box = await element.boundingBox(), session = await page.context().newCDPSession(page);
  const touch = (type, touchPoints) => session.send('Input.dispatchTouchEvent', { type, touchPoints });
  const at = ([x, y]) => [{ x: box.x + x * box.width, y: box.y + y * box.height }];
  await touch('touchStart', at(points[0]));
  for (const point of points.slice(1)) await touch('touchMove', at(point));
  await touch('touchEnd', []);
  await session.detach();
}

async function draw(page, points) {
  const box = await page.locator('#pad').boundingBox();
  const at = ([x, y]) => [box.x + x / 280 * box.width, box.y + y / 280 * box.height];
  await page.mouse.move(...at(points[0]));
  await page.mouse.down();
  for (const point of points.slice(1)) await page.mouse.move(...at(point), { steps: 4 });
  await page.mouse.up();
}

const says = (page, answer) => page.waitForFunction(a => document.getElementById('answer').textContent === a, answer, { timeout: 10_000 });
const pixels = (page, id) => page.evaluate(i => document.getElementById(i).toDataURL(), id);
const changed = (page, id, before) => page.waitForFunction(([i, b]) => document.getElementById(i).toDataURL() !== b, [id, before]);
/** Until everything drawn has been answered. */
const settled = page => page.waitForFunction(() => !sending && !state.busy);
/** From now on the page's `waits` are all the times that it states. */
const collect = page => page.evaluate(() => {
  window.waits = [];
  const note = () => { const ms = parseInt(document.getElementById('time').textContent, 10); if (ms >= 0) waits.push(ms); };
  new MutationObserver(note).observe(document.getElementById('time'), { childList: true });
});
const shot = async (page, name) => { if (shots) await page.screenshot({ path: path.join(shots, name + '.png'), fullPage: true }); };

/** The unit at row y, column x of a map: clicked, or tapped, as a person would. */
async function click(page, layer, map, y, x, how = 'click') {
  const canvas = page.locator(`.map[data-layer=${layer}][data-map="${map}"] canvas`);
  await canvas.scrollIntoViewIfNeeded();
  const side = await canvas.evaluate(c => c.width), box = await canvas.boundingBox();
  const position = { x: (x + .5) * box.width / side, y: (y + .5) * box.height / side }, name = `${layer} map ${map}, unit ${y}, ${x}: `;
  // On a busy machine the browser takes a tap for a long press, which is none.
  for (let times = how === 'tap' ? 3 : 1; times > 0; times--) {
    await canvas[how]({ position });
    const named = page.waitForFunction(text => document.getElementById('unitname').textContent.includes(text), name, { timeout: 10_000 });
    if (await named.then(() => true, e => { if (times === 1) throw e; })) return;
  }
}

const tests = {
  async 'a 3 is drawn and read, and looked into'(browser, address) {
    const { context, page, problems } = await open(browser, address);
    await draw(page, THREE);
    await says(page, '3');
    assert.equal(await page.locator('#bars li').count(), 10);
    await page.waitForFunction(() => document.querySelectorAll('.map[data-layer=C3]').length === 16);
    // Drawing goes on: how long from a stroke to its bars and maps?
    await settled(page);
    await collect(page);
    for (let i = 0; i < 15; i++) {
      await draw(page, [[80 - i % 2, 205], [82, 206]]);
      await page.waitForTimeout(60);
    }
    await settled(page);
    const waits = (await page.evaluate(() => window.waits)).sort((a, b) => a - b);
    console.log(`  from stroke to bars and maps: median ${waits[waits.length >> 1]} ms of ${waits.length} answers`);

    const grey = await pixels(page, 'projection');
    await click(page, 'C3', 5, 4, 3);
    const first = await pixels(page, 'projection');
    assert.notEqual(first, grey);
    assert.match(await page.locator('#unitname').textContent(), /sees S2 0, 1, 5$/); // table I
    const from = await page.locator('.map.from').evaluateAll(all => all.map(e => e.dataset.layer + e.dataset.map));
    assert.deepEqual(from, ['S20', 'S21', 'S25']);
    await click(page, 'C3', 9, 7, 6);
    assert.notEqual(await pixels(page, 'projection'), first);
    assert.deepEqual(await page.locator('#field').evaluate(c => [c.width, c.height]), [14, 14]);
    await shot(page, 'wide');

    // Another way back is another picture.
    const before = await pixels(page, 'projection');
    await page.selectOption('#method', 'gradient');
    await changed(page, 'projection', before);

    // The cover, dragged over the stroke, takes probability away.
    const certain = await page.locator('#bars li').nth(3).locator('span').last().textContent();
    await page.click('#cover');
    await page.waitForFunction(b => document.querySelectorAll('#bars li')[3].lastChild.textContent !== b, certain);
    const seen = await page.locator('#seen').boundingBox();
    const covered = await pixels(page, 'seen');
    await page.mouse.move(seen.x + seen.width * .5, seen.y + seen.height * .5);
    await page.mouse.down();
    await page.mouse.move(seen.x + seen.width * .6, seen.y + seen.height * .35, { steps: 3 });
    await page.mouse.up();
    await changed(page, 'seen', covered);
    await page.click('#cover');
    await page.waitForFunction(b => document.querySelectorAll('#bars li')[3].lastChild.textContent === b, certain);
    const laid = await pixels(page, 'laid');
    await page.click('#heat');
    await changed(page, 'laid', laid);

    await page.click('#clear');
    assert.equal(await page.locator('#answer').textContent(), '–');
    assert.deepEqual(problems, []);
    await context.close();
  },

  async 'the time is from the stroke to what is drawn of it, waits and all'(browser, address) {
    const { context, page, problems } = await open(browser, address);
    await collect(page);
    let answer, asked;
    const leave = new Promise(done => { answer = done; }), first = new Promise(done => { asked = done; });
    await page.route('**/v1/activations*', async route => { asked(); await leave; await route.continue(); });
    await page.evaluate(() => {
      const real = layers;
      layers = a => { for (const until = performance.now() + 200; performance.now() < until;); real(a); };
    });
    await draw(page, [[80, 100], [120, 100]]);
    await first;
    // Drawn while the first is waited for: 300 ms, then 200 until the first's maps are drawn, then 200 for its own.
    await draw(page, [[80, 140], [120, 140]]);
    await page.waitForTimeout(300);
    answer();
    await page.waitForFunction(() => waits.length >= 2);
    const waits = await page.evaluate(() => window.waits);
    assert.ok(waits[1] >= 690, `${waits} ms`);
    assert.deepEqual(problems, []);
    await context.close();
  },

  async 'a run is gone through with the slider'(browser, address) {
    const { context, page, problems } = await open(browser, address);
    const name = () => page.locator('#epochname').textContent();
    await draw(page, THREE);
    await says(page, '3');
    assert.equal(await name(), 'the end');
    await click(page, 'C3', 5, 4, 3);
    const map = () => page.locator('.map[data-layer=C1][data-map="0"] canvas').evaluate(c => c.toDataURL());
    const [last, projection] = [await map(), await pixels(page, 'projection')];
    await page.focus('#epoch');
    await page.keyboard.press('ArrowLeft');
    assert.equal(await name(), 'epoch 1');
    await page.waitForFunction(b => document.querySelector('.map[data-layer=C1][data-map="0"] canvas').toDataURL() !== b, last);
    await changed(page, 'projection', projection);
    await shot(page, 'slider');
    await page.keyboard.press('ArrowRight');
    await page.waitForFunction(b => document.querySelector('.map[data-layer=C1][data-map="0"] canvas').toDataURL() === b, last);
    await says(page, '3');
    assert.deepEqual(problems, []);
    await context.close();
  },

  async 'the language is switched, and kept'(browser, address) {
    const { context, page, problems } = await open(browser, address);
    assert.equal(await page.locator('html').getAttribute('lang'), 'en');
    await draw(page, THREE);
    await says(page, '3');
    await click(page, 'C3', 5, 4, 3);
    await settled(page);
    const label = () => page.locator('.map[data-layer=C3][data-map="5"] canvas').getAttribute('aria-label');
    const strength = async () => (await page.locator('#unitname').textContent()).match(/: (\S+)/)[1];
    const [english, activation] = [await label(), await strength()];
    assert.equal(english, 'C3 map 5');
    await page.click('#language');
    assert.match(await page.locator('h1').textContent(), /数字/);
    // Whatever was named before is named anew.
    assert.equal(await label(), 'C3 特征图 5');
    const foreign = await page.evaluate(() => [...document.querySelectorAll('[aria-label]')].map(e => e.getAttribute('aria-label')).filter(l => !/[\u4e00-\u9fff]/.test(l)));
    assert.deepEqual(foreign, ['Switch to English']);
    assert.match(await page.locator('#time').textContent(), /^\d+ 毫秒/);
    assert.match(await page.locator('#unitname').textContent(), /特征图 5, 单元 4, 3/);
    assert.equal(await strength(), activation);
    await page.click('#language');
    assert.equal(await label(), english);
    await page.click('#language');

    await page.reload();
    await page.waitForSelector('body[data-ready=yes]');
    assert.equal(await page.locator('html').getAttribute('lang'), 'zh-Hans');
    await draw(page, THREE);
    await says(page, '3');
    await settled(page);
    // Whatever has words has them in both languages.
    const missing = await page.evaluate(() => Object.keys(WORDS.en).filter(k => !(k in WORDS.zh)));
    assert.deepEqual(missing, []);
    await shot(page, 'chinese');
    assert.deepEqual(problems, []);

    // The server's reasons are in English; what they mean isn't.
    await page.setInputFiles('#file', { name: 'a.png', mimeType: 'image/png', buffer: Buffer.from('no picture') });
    const error = page.locator('#error');
    await page.waitForFunction(() => document.getElementById('error').textContent);
    assert.equal(await error.textContent(), '不是 PNG 或 JPEG 图片（the image is neither PNG nor JPEG）');
    await page.click('#language');
    assert.equal(await error.textContent(), 'the image is neither PNG nor JPEG');
    await draw(page, THREE);
    await says(page, '3');
    assert.equal(await error.textContent(), '');
    assert.deepEqual(problems.filter(problem => !problem.includes('415')), []);
    await context.close();
  },

  async 'photos are opened in another network'(browser, _, photos) {
    const { context, page, problems } = await open(browser, photos);
    assert.match(await page.locator('h1').textContent(), /photo/);
    const names = ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck'];
    const answered = async give => {
      const before = await pixels(page, 'pad');
      await give();
      await changed(page, 'pad', before);
      await page.waitForFunction(() => document.getElementById('answer').textContent !== '–' && !state.busy);
    };
    let right = 0, colourful = 0;
    for (const name of names) {
      await answered(() => page.setInputFiles('#file', photo(name)));
      if (await page.locator('#answer').textContent() === name) right++;
      colourful += await page.evaluate(() => {
        const seen = document.getElementById('seen'), { data } = seen.getContext('2d').getImageData(0, 0, seen.width, seen.height);
        return data.some((red, i) => i % 4 === 0 && Math.abs(red - data[i + 2]) > 16);
      });
    }
    assert.ok(right >= 8, `${right} of ${names.length} photos are read`);
    assert.ok(colourful >= 5, `${colourful} of ${names.length} photos have colours`);
    assert.equal(await page.locator('#bars li').count(), 10);

    // The strongest unit of the last convolution, back in pixels.
    const grey = await pixels(page, 'projection');
    const unit = await page.evaluate(() => {
      const { levels, shape: [, h, w] } = state.answer.layers.find(l => l.layer === 'cccp6'), i = levels.indexOf(255);
      return [Math.floor(i / (h * w)), Math.floor(i / w) % h, i % w];
    });
    await click(page, 'cccp6', ...unit);
    await changed(page, 'projection', grey);
    await shot(page, 'photo');

    // As a person opens one, and by dropping it.
    await answered(async () => {
      const [chooser] = await Promise.all([page.waitForEvent('filechooser'), page.click('#open')]);
      await chooser.setFiles(photo('horse'));
    });
    const opened = await pixels(page, 'seen');
    const dataTransfer = await page.evaluateHandle(bytes => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([new Uint8Array(bytes)], 'a.jpg', { type: 'image/jpeg' }));
      return transfer;
    }, [...fs.readFileSync(photo('ship'))]);
    await answered(() => page.dispatchEvent('#pad', 'drop', { dataTransfer }));
    assert.notEqual(await pixels(page, 'seen'), opened);
    assert.equal(await page.locator('.map[data-layer^=drop]').count(), 0);
    assert.equal(await page.locator('.map[data-layer=pool2]').count(), 64);
    // 64 of 192 maps are shown until all are asked for.
    assert.equal(await page.locator('.map[data-layer=conv1]').count(), 64);
    await page.locator('.layer', { hasText: 'conv1:' }).locator('button').click();
    assert.equal(await page.locator('.map[data-layer=conv1]').count(), 192);
    assert.deepEqual(problems, []);
    await context.close();
  },

  async 'a phone in the dark'(browser, address) {
    const { context, page, problems } = await open(browser, address, {
      viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true, colorScheme: 'dark',
    });
    await page.evaluate(() => { document.getElementById('pad').addEventListener('pointerdown', e => { self.hand = e.pointerType; }); });
    await finger(page, '#pad', THREE.map(point => point.map(v => v / 280)));
    await says(page, '3');
    assert.deepEqual(await page.evaluate(() => [self.hand, scrollY]), ['touch', 0]);
    await settled(page);
    await click(page, 'C3', 2, 5, 5, 'tap');
    const bare = await pixels(page, 'seen');
    await page.tap('#cover');
    await changed(page, 'seen', bare);
    const covered = await pixels(page, 'seen');
    await finger(page, '#seen', [[.5, .5], [.4, .4], [.25, .25]]);
    await changed(page, 'seen', covered);
    const [wide, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(wide <= window, `${wide} pixels wide in a window of ${window}`);
    await shot(page, 'phone');
    assert.deepEqual(problems, []);
    await context.close();
  },

  async 'without a mouse'(browser, address) {
    const { context, page, problems } = await open(browser, address);
    await page.focus('#pad'); // the pen is in the middle: a 1 from top to bottom
    for (let i = 0; i < 9; i++) await page.keyboard.press('ArrowUp');
    await page.keyboard.press('Space');
    for (let i = 0; i < 18; i++) await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Space');
    await says(page, '1');
    await page.focus('.map[data-layer=C1][data-map="2"] canvas');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => document.getElementById('unitname').textContent.startsWith('C1 map 2, unit 15, 14: '));
    // Everything that can be worked has a name.
    const nameless = await page.evaluate(() => [...document.querySelectorAll('button, select, input:not([hidden]), [tabindex]')]
      .filter(e => !(e.getAttribute('aria-label') || e.textContent.trim() || (e.labels && e.labels.length))).map(e => e.outerHTML));
    assert.deepEqual(nameless, []);
    assert.deepEqual(problems, []);
    await context.close();
  },

  async 'letters stand out'(browser, address) {
    for (const colorScheme of ['light', 'dark']) {
      const { context, page } = await open(browser, address, { colorScheme });
      await draw(page, THREE);
      await says(page, '3');
      // WCAG 2's contrast of every text with what is behind it.
      const weak = await page.evaluate(() => {
        const channels = c => c.match(/[\d.]+/g).map(Number);
        const light = c => { const [r, g, b] = channels(c).map(v => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }); return .2126 * r + .7152 * g + .0722 * b; };
        const behind = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (channels(c)[3] !== 0) return c; } return 'rgb(255, 255, 255)'; };
        return [...document.querySelectorAll('body *')].filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) && e.offsetParent).map(e => {
          const a = light(getComputedStyle(e).color), b = light(behind(e));
          return [e.outerHTML.slice(0, 80), (Math.max(a, b) + .05) / (Math.min(a, b) + .05)];
        }).filter(([, ratio]) => ratio < 4.5);
      });
      assert.deepEqual(weak, [], colorScheme);
      await context.close();
    }
  },
};

(async () => {
  const dir = run();
  const [digits, photos] = await Promise.all([serve(['--run', dir]), serve(['--model', 'nin-cifar10'])]);
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: ['--no-sandbox'] });
  let failed = 0;
  for (const [name, test] of Object.entries(tests)) {
    try { await test(browser, digits.address, photos.address); console.log(`ok      ${name}`); } catch (e) { failed++; console.log(`FAILED  ${name}\n${e.stack}`); }
  }
  await browser.close();
  for (const { child } of [digits, photos]) {
    child.removeAllListeners('exit');
    child.kill('SIGTERM');
  }
  fs.rmSync(dir, { recursive: true });
  process.exitCode = failed ? 1 : 0;
})();
