// Chromium of the Debian package. An action that pages must not do fails the run.
import { readFileSync } from "node:fs";
import { mkdtemp, mkdir, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const shots = process.env.SHOTS;
export const at = process.env.PUBLIC_URL;
const demo = process.env.DEMO_URL;

export function check(held, what) {
  if (!held) throw new Error(what);
}

export const arguments_ = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
  "--disable-dev-shm-usage",
];

export async function launch() {
  const home = await mkdtemp(join(tmpdir(), "latchkey-chromium-"));
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    args: arguments_,
    env: { ...process.env, HOME: home },
  });
  if (shots) await mkdir(shots, { recursive: true });
  return {
    browser,
    close: async () => {
      await browser.close();
      await rm(home, { recursive: true, force: true });
    },
  };
}

/// A person's browser, with separate cookies and a list of forbidden actions.
export async function person(browser) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  context.setDefaultTimeout(20_000);
  const offences = [];
  context.on("console", (message) => {
    if (/Content Security Policy|Refused to/.test(message.text())) offences.push(message.text());
  });
  context.on("weberror", (error) => offences.push(String(error.error())));
  context.on("request", (request) => {
    const url = request.url();
    if (![at, demo].some((origin) => url.startsWith(origin)) && !url.startsWith("data:")) {
      offences.push(`asked ${url}`);
    }
  });
  return Object.assign(context, {
    good: () => check(offences.length === 0, offences.join("\n")),
  });
}

/// The consent page of the demo provider.
export async function consent(page, who, { untick = [], deny = false, back = at } = {}) {
  await page.waitForURL((url) => url.href.startsWith(demo));
  await page.check(`input[name=person][value=${who}]`);
  for (const scope of untick) await page.uncheck(`input[name=tick][value="${scope}"]`);
  await page.click(`button[value=${deny ? "deny" : "allow"}]`);
  await page.waitForURL((url) => url.href.startsWith(back));
}

export async function title(page) {
  return (await page.textContent("h1")).trim();
}

export async function expectTitle(page, wanted) {
  const is = await title(page);
  check(is === wanted, `the page says “${is}” instead of “${wanted}” at ${page.url()}`);
}

/// Reloads the page until it shows something that depends on the broker.
export async function until(page, what, shown) {
  for (let turn = 0; turn < 100; turn += 1) {
    if (await shown()) return;
    await page.waitForTimeout(150);
    await page.reload();
  }
  throw new Error(`not shown in time: ${what}\n${await page.textContent("main")}`);
}

const seen = new Set();

/// Checks the accessibility of a page in both color schemes and its width on a narrow
/// screen, and saves screenshots if they are requested.
export async function look(page, name) {
  if (seen.has(name)) return;
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    for (const width of shots ? [1280, 360] : [360]) {
      await page.setViewportSize({ width, height: width === 360 ? 740 : 900 });
      if (shots) {
        const path = join(shots, `${name}-${width}-${colorScheme}.png`);
        await page.screenshot({ path, fullPage: true });
      }
    }
    const over = await page.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    check(over <= 0, `${name}: ${over} px wider than 360 px`);
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
    const told = violations.map((one) =>
      `${one.impact} ${one.id}: ${one.help}\n  ${one.nodes.map((node) => node.html).join("\n  ")}`);
    check(violations.length === 0, `${name}, ${colorScheme}:\n${told.join("\n")}`);
  }
  await page.emulateMedia({ colorScheme: "light", reducedMotion: "reduce" });
  await page.setViewportSize({ width: 1280, height: 900 });
  seen.add(name);
}

/// Runs the steps, or those whose name contains the first argument, and prints the result of
/// each. Returns how many failed.
export async function runSteps(steps) {
  const only = process.argv[2];
  let failed = 0;
  for (const [name, step] of Object.entries(steps)) {
    if (only && !name.includes(only)) continue;
    const begun = Date.now();
    let error = await errorOf(step);
    // A crash of Chromium's own process says nothing about the page.
    if (/(Page|Target) crashed/.test(error?.message)) {
      console.log(`repeated, since Chromium crashed: ${name}`);
      error = await errorOf(step);
    }
    if (error) failed += 1;
    console.log(error ? `FAILED: ${name}\n${error.stack}` : `passed: ${name} (${Date.now() - begun} ms)`);
  }
  return failed;
}

const errorOf = (step) => step().then(() => null, (error) => error);
