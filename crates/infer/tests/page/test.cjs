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
const shot = async (page, name) => { if (shots) await page.screenshot({ path: path.join(shots, name + '.png'), fullPage: true }); };

/** The unit at row y, column x of a map: clicked as a person would. */
async function click(page, layer, map, y, x) {
  const canvas = page.locator(`.map[data-layer=${layer}][data-map="${map}"] canvas`);
  await canvas.scrollIntoViewIfNeeded();
  const side = await canvas.evaluate(c => c.width), box = await canvas.boundingBox();
  await canvas.click({ position: { x: (x + .5) * box.width / side, y: (y + .5) * box.height / side } });
  await page.waitForFunction(text => document.getElementById('unitname').textContent.includes(text), `${layer} map ${map}, unit ${y}, ${x}: `);
}

const tests = {
  async 'a 3 is drawn and read, and looked into'(browser, address) {
    const { context, page, problems } = await open(browser, address);
    await draw(page, THREE);
    await says(page, '3');
    assert.equal(await page.locator('#bars li').count(), 10);
    await page.waitForFunction(() => document.querySelectorAll('.map[data-layer=C3]').length === 16);
    // Drawing goes on: how long from a stroke to its bars?
    const waits = [];
    for (let i = 0; i < 15; i++) {
      await draw(page, [[80 - i % 2, 205], [82, 206]]);
      await page.waitForTimeout(60);
      waits.push(parseInt(await page.locator('#time').textContent(), 10));
    }
    waits.sort((a, b) => a - b);
    console.log(`  from stroke to bars: median ${waits[7]} ms of 15`);

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
    await page.waitForFunction(b => document.getElementById('projection').toDataURL() !== b, before);

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
    await page.waitForFunction(b => document.getElementById('seen').toDataURL() !== b, covered);
    await page.click('#cover');
    await page.waitForFunction(b => document.querySelectorAll('#bars li')[3].lastChild.textContent === b, certain);
    const laid = await pixels(page, 'laid');
    await page.click('#heat');
    await page.waitForFunction(b => document.getElementById('laid').toDataURL() !== b, laid);

    await page.click('#clear');
    assert.equal(await page.locator('#answer').textContent(), '–');
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
    await page.waitForFunction(b => document.getElementById('projection').toDataURL() !== b, projection);
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
    await page.click('#language');
    assert.match(await page.locator('h1').textContent(), /数字/);
    await page.reload();
    await page.waitForSelector('body[data-ready=yes]');
    assert.equal(await page.locator('html').getAttribute('lang'), 'zh-Hans');
    await draw(page, THREE);
    await says(page, '3');
    // Whatever has words has them in both languages.
    const missing = await page.evaluate(() => Object.keys(WORDS.en).filter(k => !(k in WORDS.zh)));
    assert.deepEqual(missing, []);
    await shot(page, 'chinese');
    assert.deepEqual(problems, []);
    await context.close();
  },

  async 'a phone in the dark'(browser, address) {
    const { context, page, problems } = await open(browser, address, {
      viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true, colorScheme: 'dark',
    });
    await draw(page, THREE);
    await says(page, '3');
    await click(page, 'C3', 2, 5, 5);
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
  const { child, address } = await serve(['--run', dir]);
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: ['--no-sandbox'] });
  let failed = 0;
  for (const [name, test] of Object.entries(tests)) {
    try { await test(browser, address); console.log(`ok      ${name}`); } catch (e) { failed++; console.log(`FAILED  ${name}\n${e.stack}`); }
  }
  await browser.close();
  child.removeAllListeners('exit');
  child.kill('SIGTERM');
  fs.rmSync(dir, { recursive: true });
  process.exitCode = failed ? 1 : 0;
})();
