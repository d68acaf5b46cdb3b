// Front ends with session.js in case of errors: no page loops through the sign-in, and no
// page has the token of another person. See front-end-server.mjs.
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { arguments_, at, check, consent, launch, runSteps } from "./browser.mjs";
import { OTHER, SAME, STRANGER, planted as typed, recipe, refused, serve } from "./front-end-server.mjs";

/// Long enough for several rounds of a loop, also on a busy machine.
const BOUND = 2_000;
/// Number of pages that are observed at the same time.
const AT_ONCE = 6;
const server = await serve();
const { browser, close } = await launch();

/// A browser context that counts started sign-ins, requests for tokens and errors in the
/// console.
async function watched(made) {
  const context = await made;
  context.setDefaultTimeout(20_000);
  const seen = Object.assign(context, { starts: 0, asked: 0, red: [] });
  context.on("request", (request) => {
    const { origin, pathname } = new URL(request.url());
    if (origin !== at) return;
    if (request.isNavigationRequest() && pathname === "/auth/google") seen.starts += 1;
    if (pathname === "/auth/token" && request.method() === "POST") seen.asked += 1;
  });
  context.on("console", (message) => {
    if (message.type() === "error") seen.red.push(message.text());
  });
  if (process.env.SESSION_JS) {
    await context.route(`${at}/auth/session.js`, (route) => route.fulfill({
      path: process.env.SESSION_JS, contentType: "text/javascript",
      headers: { "Cross-Origin-Resource-Policy": "cross-origin" },
    }));
  }
  return seen;
}

/// Runs in a page: its messages from other tabs arrive late, as on a busy machine.
function deliverLate() {
  const OnTime = BroadcastChannel;
  window.BroadcastChannel = class extends EventTarget {
    constructor(name) {
      super();
      this.channel = new OnTime(name);
      this.channel.onmessage = ({ data }) => setTimeout(() => {
        const message = new MessageEvent("message", { data });
        this.onmessage?.(message);
        this.dispatchEvent(message);
      }, 60);
    }

    postMessage(data) {
      this.channel.postMessage(data);
    }
  };
}

/// The cookies of a person who is signed in at auth-svc only.
async function signedIn(who) {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`${at}/auth/google`);
  await consent(page, who);
  await context.clearCookies({ name: "tokenPair" });
  const state = await context.storageState();
  await context.close();
  return state;
}
const ada = await signedIn("ada");
const known = (storageState = ada) => watched(browser.newContext({ storageState }));
const stranger = () => watched(browser.newContext());

const readable = (origin) => ({
  "Access-Control-Allow-Origin": origin, "Access-Control-Allow-Credentials": "true",
});
const answering = (status, body = "") => async (context, origin) => context.route(`${at}/auth/token`,
  (route) => route.fulfill({ status, body, headers: readable(origin) }));
const shifted = (hours) => async (context) => context.addInitScript(`{
  const now = Date.now.bind(Date);
  Date.now = () => now() + ${hours} * 3_600_000;
}`);
const nothing = async () => {};

/// Reasons why a page may conclude that nobody is signed in, or that a token is invalid,
/// while auth-svc redirects everybody back immediately.
const causes = {
  "503": answering(503),
  "429": answering(429),
  "401": answering(401, '{"error":{"code":"not_signed_in"}}'),
  "204": answering(204),
  "a 200 without a token": answering(200, "<html>hello</html>"),
  "network": async (context) => context.route(`${at}/auth/token`, (route) => route.abort("connectionrefused")),
  "CORS": async (context) => context.route(`${at}/auth/token`, (route) => route.fulfill({ status: 200, body: "{}" })),
  "CSP": nothing,
  "a clock that is 6 h fast": shifted(6),
  "a clock that is 6 h slow": shifted(-6),
  "storage that is denied": async (context) => context.addInitScript(`
    for (const name of ["sessionStorage", "localStorage"])
      Object.defineProperty(window, name, { get() { throw new DOMException("denied", "SecurityError"); } });
    navigator.locks.request = () => Promise.reject(new DOMException("denied", "SecurityError"));`),
};
const pagesOf = (cause) => (cause === "CSP" ? ["/csp/plain", "/csp/earlier"] : ["/plain", "/earlier"]);

/// In each case a page of the documentation shows the problem and a way to continue.
const SHOWN = "#app:visible, #away:visible, #sign-in:visible";

/// Opens a page and observes it for some time after it has ended its work. A page that
/// loops does not have to be observed for longer.
async function observe(context, url) {
  const page = await context.newPage();
  const round = context.waitForEvent("request", { predicate: () => context.starts > 1, timeout: 0 })
    .catch(() => {});
  // A Content-Security-Policy would block waitForFunction.
  const hasEnded = () => page.evaluate(() => !["", "App"].includes(document.title) ||
    [...document.querySelectorAll("#app, #away, #sign-in")].some((part) => !part.hidden));
  // A page that left must be back; on a busy machine a redirect takes seconds.
  let documents = 0;
  page.on("domcontentloaded", () => { documents += 1; });
  const ended = async () => {
    for (let quiet = 0; quiet < BOUND; quiet += 100) {
      await page.waitForTimeout(100);
      if (documents <= context.starts || !(await hasEnded().catch(() => false))) quiet = 0;
    }
  };
  await page.goto(url, { waitUntil: "commit" });
  await Promise.race([round, ended().catch(() => {}), page.waitForTimeout(30_000)]);
  return page;
}

/// A browser with cookies and storage switched off for a site in its settings.
async function blocking(site) {
  const home = await mkdtemp(join(tmpdir(), "latchkey-blocked-"));
  await mkdir(join(home, "Default"));
  await writeFile(join(home, "Default", "Preferences"), JSON.stringify({
    profile: { content_settings: { exceptions: { cookies: { [`${site},*`]: { setting: 2 } } } } },
  }));
  const context = await watched(chromium.launchPersistentContext(home, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", headless: true, args: arguments_,
  }));
  const end = context.close.bind(context);
  return Object.assign(context, {
    close: async () => {
      await end();
      await rm(home, { recursive: true, force: true });
    },
  });
}

const session = (page) => page.evaluate(async () => ({ ...(await latchkey.ready), ...latchkey.session }));
const state = (page, wanted) =>
  page.waitForFunction((wanted) => latchkey.session.state === wanted, wanted);

const steps = {
  async "no error starts a second sign-in without a person"() {
    // The session cookie is sent on the one origin and not on the other.
    const rounds = Object.keys(causes).flatMap((cause) => {
      const [plain, earlier] = pagesOf(cause);
      return [{ cause, path: plain, origin: SAME }, { cause, path: earlier, origin: OTHER }];
    });
    const bad = [];
    const work = async () => {
      for (let round = rounds.pop(); round; round = rounds.pop()) {
        const { cause, path, origin } = round;
        const context = await known();
        await causes[cause](context, origin);
        const page = await observe(context, `${origin}${path}`);
        const { starts, asked } = context;
        const shown = path.endsWith("/plain") ? await page.locator(SHOWN).count() : 1;
        if (starts > 1 || asked > 8 || shown !== 1) bad.push({ ...round, starts, asked, shown });
        await context.close();
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    check(bad.length === 0, JSON.stringify(bad, null, 1));
  },

  async "an API that refuses every token causes no loop"() {
    const context = await known();
    await observe(context, `${SAME}/impatient`);
    check(context.starts <= 1, `left ${context.starts} times`);
    check(context.asked <= 3, `asked ${context.asked} times`);
    await context.close();
  },

  async "cookies and storage that a person has switched off"() {
    // For the page, and for auth-svc itself, where then no sign-in can end.
    for (const [site, origin] of [[OTHER, OTHER], [at, SAME]]) {
      const context = await blocking(site);
      const page = await context.newPage();
      for (const path of ["/plain", "/earlier"]) {
        context.starts = 0;
        await page.goto(`${origin}${path}`, { waitUntil: "commit" });
        const seen = page.waitForSelector("input[name=person]", { timeout: 2 * BOUND });
        if (await seen.catch(() => null)) await consent(page, "ada", { back: "http://" });
        await page.waitForTimeout(BOUND);
        check(context.starts <= 1, `${site}, ${path}: left ${context.starts} times`);
      }
      await context.close();
    }
  },

  async "a wrong clock does not repeat requests"() {
    for (const hours of [6, -6]) {
      const context = await known();
      await shifted(hours)(context);
      const page = await context.newPage();
      await page.goto(`${SAME}/bare`);
      const tokens = await page.evaluate(async () => {
        const tokens = new Set();
        for (let count = 0; count < 10; count += 1) tokens.add(await latchkey.accessToken());
        return [...tokens];
      });
      check(tokens.length === 1 && tokens[0], `${tokens.length} tokens`);
      check(context.asked === 1, `asked ${context.asked} times`);
      await context.close();
    }
  },

  async "an origin that is not allowed is told so once"() {
    const context = await known();
    await observe(context, `${STRANGER}/earlier`);
    check(context.starts <= 1, `left ${context.starts} times`);
    await context.close();
  },

  async "an effect that runs twice leaves once"() {
    const context = await stranger();
    const page = await context.newPage();
    for (const path of ["/effects", "/react"]) {
      Object.assign(context, { starts: 0, asked: 0 });
      await page.goto(`${OTHER}${path}`, { waitUntil: "commit" });
      await page.waitForSelector("input[name=person]");
      check(context.starts === 1, `${path}: left ${context.starts} times`);
      check(context.asked === 1, `${path}: asked ${context.asked} times`);
      // A new tab.
      await page.goto(`${OTHER}/elsewhere`);
      await page.evaluate(() => sessionStorage.clear());
    }
    await page.goto(`${OTHER}/react`, { waitUntil: "commit" });
    await consent(page, "ada", { back: OTHER });
    await page.waitForSelector("#data:has-text('Ada')");
    check(!page.url().includes("code="), `the code stays in ${page.url()}`);
    await context.close();
  },

  async "an outage ends without a sign-in"() {
    const context = await known();
    await answering(503)(context, SAME);
    const page = await context.newPage();
    await page.goto(`${SAME}/plain`);
    await page.waitForSelector("#away:visible");
    check((await session(page)).signedIn === null, "nobody knows");
    await context.unroute(`${at}/auth/token`);
    await page.waitForSelector("#app:visible:has-text('Ada')");
    check(context.starts === 0, `left ${context.starts} times`);
    await context.close();
  },

  async "a person can always try again"() {
    const context = await known();
    await answering(401)(context, SAME);
    const page = await observe(context, `${SAME}/plain`);
    check(context.starts === 1, `left ${context.starts} times`);
    await page.evaluate(() => document.querySelector("#sign-in").click());
    await page.waitForTimeout(200);
    for (let turn = 2; turn < 4; turn += 1) {
      const back = page.waitForRequest((request) => new URL(request.url()).pathname === "/auth/token");
      const before = context.starts;
      await page.click("#sign-in");
      await back;
      await page.waitForSelector("#sign-in:visible");
      check(context.starts === before + 1, `left ${context.starts - before} times by one click`);
    }
    await context.close();
  },

  async "an anonymous page asks once and logs no error"() {
    const context = await stranger();
    for (const origin of [SAME, OTHER]) {
      context.asked = 0;
      const page = await context.newPage();
      await page.goto(`${origin}/bare`);
      const first = await session(page);
      check(first.state === "signedOut" && first.signedIn === false, JSON.stringify(first));
      check((await page.evaluate(() => latchkey.accessToken())) === null, "no token");
      check(context.asked === 1, `asked ${context.asked} times`);
    }
    check(context.red.length === 0, context.red.join("\n"));
    await context.close();
  },

  async "a refused token is renewed once for all tabs"() {
    for (const kind of ["as usual", "without Web Locks", "with late messages"]) {
      const context = await known();
      if (kind === "without Web Locks") await context.addInitScript("delete Navigator.prototype.locks");
      if (kind === "with late messages") await context.addInitScript(deliverLate);
      const tabs = [];
      for (let count = 0; count < 3; count += 1) {
        const page = await context.newPage();
        await page.goto(`${SAME}/bare`);
        check((await session(page)).signedIn, "signed in");
        tabs.push(page);
      }
      // All tabs know the token of the last one.
      const token = await tabs[2].evaluate(() => latchkey.accessToken());
      for (const page of tabs)
        await page.waitForFunction(async (token) => (await latchkey.accessToken()) === token, token);
      refused.add(token);
      context.asked = 0;
      const answers = await Promise.all(tabs.map((page) => page.evaluate(async () =>
        (await Promise.all([1, 2].map(() => latchkey.fetch("/api/people")))).map((one) => one.status))));
      check(answers.flat().every((status) => status === 200), `answered ${answers}`);
      check(context.asked === 1, `asked ${context.asked} times ${kind}`);
      for (let count = 0; count < 5; count += 1) {
        const answer = await tabs[0].evaluate(async () => (await latchkey.fetch("/api/never")).status);
        check(answer === 401, `answered ${answer}`);
      }
      check(context.asked <= 2, `an API that refuses everything had ${context.asked} tokens made`);
      await context.close();
    }
  },

  async "a sign-out reaches the other tabs and leaves no page"() {
    const context = await known(await signedIn("ada"));
    const [plain, react] = [await context.newPage(), await context.newPage()];
    await plain.goto(`${SAME}/plain`);
    await plain.waitForSelector("#app:visible:has-text('Ada')");
    await react.goto(`${SAME}/react`);
    await react.waitForSelector("#data:has-text('Ada')");
    await react.click("#out");
    await react.waitForSelector("#state:has-text('signedOut')");
    await plain.waitForSelector("#sign-in:visible");
    await plain.reload();
    await plain.waitForSelector("#sign-in:visible");
    check(context.starts === 0, `left ${context.starts} times`);
    await context.close();
  },

  async "no page has the token of another person"() {
    // A member, because a person who joins by a link sees the welcome page first.
    await signedIn("grace");
    const context = await known(await signedIn("ada"));
    const mine = await context.newPage();
    await mine.goto(`${SAME}/bare`);
    const before = await session(mine);
    await mine.evaluate(() => {
      window.told = [];
      latchkey.addEventListener("change", ({ detail }) => window.told.push(detail));
    });
    const react = await context.newPage();
    await react.goto(`${SAME}/react`);
    await react.waitForSelector("#data:has-text('Ada')");
    const theirs = await context.newPage();
    await theirs.goto(`${at}/auth/google?prompt=select_account&returnTo=${encodeURIComponent(`${SAME}/bare`)}`);
    await consent(theirs, "grace", { back: SAME });
    const after = await session(theirs);
    check(after.signedIn && after.userId !== before.userId, "another person");
    await mine.waitForFunction(() => window.told.length === 1);
    const [told] = await mine.evaluate(() => window.told);
    check(told.userId === after.userId && told.workspaceId === after.workspaceId && told.otherPerson, JSON.stringify(told));
    for (const ask of ["accessToken()", "fetch('/api/people')"]) {
      const how = await mine.evaluate(`latchkey.${ask}.then(() => "answered", (error) => error.message)`);
      check(/another person/.test(how), `${ask}: ${how}`);
    }
    // The documented code loads the page again for the new person.
    await react.waitForFunction((id) => latchkey.session.userId === id && !latchkey.session.otherPerson, after.userId);
    await mine.reload();
    check((await session(mine)).userId === after.userId, "loaded again, it is the other one's");
    check(await mine.evaluate(() => latchkey.accessToken()), "with a token");
    await context.close();
  },

  async "a hand-over is valid after the service has confirmed it"() {
    const context = await stranger();
    const page = await context.newPage();
    await page.goto(`${OTHER}/bare#/inbox&code=${"x".repeat(43)}`);
    const first = await session(page);
    check(first.signedIn === false, JSON.stringify(first));
    check(page.url() === `${OTHER}/bare#/inbox`, page.url());
    await context.close();
  },

  async "a code is redeemed after an outage of the service"() {
    const context = await known();
    const page = await context.newPage();
    await answering(503)(context, OTHER);
    await page.goto(`${OTHER}/bare`);
    await page.evaluate(() => latchkey.signIn("/auth/google", {}, { person: true }));
    await page.waitForURL(`${OTHER}/bare`);
    await state(page, "unreachable");
    await context.unroute(`${at}/auth/token`);
    await state(page, "signedIn");
    check((await session(page)).handover === "code", "by the code");
    await context.close();
  },

  async "the cookie of operators is found and taken exactly once"() {
    const context = await stranger();
    const planted = { ...typed(), domain: "localhost" };
    const open = async () => {
      const page = await context.newPage();
      await page.goto(`${SAME}/react`, { waitUntil: "commit" });
      await page.waitForFunction(() => window.latchkey);
      return session(page);
    };
    await context.addCookies([planted]);
    // Two tabs, in which every effect runs twice. No sign-in is started meanwhile.
    await context.route(`${at}/auth/google**`, (route) => route.fulfill({ status: 204 }));
    const taken = await Promise.all([open(), open()]);
    check(taken.filter((one) => one.handover === "tokenPair").length === 1, JSON.stringify(taken));
    check(taken.every((one) => one.signedIn === false), "a fake token signs nobody in");
    const left = async () => (await context.cookies(SAME)).some((one) => one.name === "tokenPair");
    check(!(await left()), "the cookie is gone");
    await context.addCookies([planted]);
    check((await open()).handover === null, "the same cookie is taken a second time");
    check(!(await left()), "and gone again");
    await context.addCookies([{ ...planted, value: "%E0%A4%A" }]);
    check((await open()).handover === null, "a cookie that cannot be decoded is no hand-over");
    check(!(await left()), "a cookie that cannot be decoded is gone");
    await context.close();
  },

  async "the pair of a sign-in is taken, checked and renewed"() {
    const context = await stranger();
    const page = await context.newPage();
    await page.goto(`${at}/auth/google?returnTo=${encodeURIComponent(`${SAME}/elsewhere`)}`);
    await consent(page, "ada", { back: SAME });
    const cookie = (await context.cookies(SAME)).find((one) => one.name === "tokenPair");
    const pair = JSON.parse(decodeURIComponent(cookie.value));
    await page.goto(`${SAME}/bare`);
    const first = await session(page);
    check(first.signedIn && first.handover === "tokenPair", JSON.stringify(first));
    const token = await page.evaluate(() => latchkey.accessToken());
    check(token !== pair.accessToken.token, "its refresh token was spent for a new one");
    // An API accepts both by the key set, as documented, and no other token.
    const { personOf } = await import(await recipe("js", "jwtVerify"));
    for (const good of [token, pair.accessToken.token]) {
      const { userId, workspaceId } = await personOf(good);
      check(userId === first.userId && workspaceId === first.workspaceId, "it names the person");
    }
    const [header, , signature] = token.split(".");
    const forged = Buffer.from(JSON.stringify({ iss: at, aud: at, sub: "x", exp: 4e9 })).toString("base64url");
    const how = await personOf(`${header}.${forged}.${signature}`).then(() => "taken", (error) => error.code);
    check(how === "ERR_JWS_SIGNATURE_VERIFICATION_FAILED", how);
    await context.close();
  },

  async "after a refusal the application gets its person back"() {
    const context = await stranger();
    const page = await context.newPage();
    await page.goto(`${OTHER}/plain`, { waitUntil: "commit" });
    await consent(page, "ada", { deny: true });
    const back = await page.getByText("Back to the application").getAttribute("href");
    check(back === `${OTHER}/plain`, `back to ${back}`);
    await page.click("text=Try again");
    await consent(page, "ada", { back: OTHER });
    await page.waitForSelector("#app:visible:has-text('Ada')");
    check(context.starts === 2, `${context.starts} starts`);
    // The person is signed in, and is refused at a provider nevertheless.
    await page.goto(`${at}/auth/google?prompt=consent&returnTo=${encodeURIComponent(`${OTHER}/plain`)}`);
    await consent(page, "ada", { deny: true });
    check((await page.textContent("main")).includes("You are signed in as ada@acme.example"), "says who");
    await page.click("text=Open Acme");
    await page.waitForURL(`${OTHER}/plain`);
    await page.waitForSelector("#app:visible:has-text('Ada')");
    await context.close();
  },
};

const failed = await runSteps(steps);
await close();
server.close();
process.exit(failed ? 1 : 0);
