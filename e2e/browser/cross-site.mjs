// What another site can make a person's browser do, and what the person does on the
// pages. A line that begins with `@` is a command for the Rust test that runs this script;
// the test responds with `ok` and a value.
import { createServer } from "node:http";
import { at, check, consent, expectTitle, launch, look, runSteps } from "./browser.mjs";
import { command } from "./command.mjs";

const demo = process.env.DEMO_URL;
const EVIL = "https://attack.example";
// A front end on another origin. It needs a real server, because Chromium does not let an
// intercepted page of another site send requests to a loopback address.
const CRM = process.env.CRM_URL;
const crm = createServer((_, answer) => {
  answer.setHeader("Content-Type", "text/html");
  answer.end(`<!doctype html><title>CRM</title><h1>CRM</h1><script src="${at}/auth/session.js"></script>`);
}).listen(new URL(CRM).port, "127.0.0.1");
const evilHost = at.replace("localhost", "evil.localhost");
// RFC 7636 appendix B: the attacker who made the link has the verifier.
const CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

const { browser, close } = await launch();

/// A person's browser, in which the site of the attacker exists as well.
async function person() {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  context.setDefaultTimeout(20_000);
  const html = (body) => ({ contentType: "text/html", body: `<!doctype html><title>x</title>${body}` });
  await context.route(`${EVIL}/**`, (route) => {
    const to = JSON.parse(decodeURIComponent(new URL(route.request().url()).search.slice(1) || "null"));
    const fields = Object.entries(to?.form ?? {}).map(([name, value]) =>
      `<input type="hidden" name="${name}" value="${value}">`).join("");
    route.fulfill(html(!to ? "" : to.form
      ? `<form method="post" action="${to.url}">${fields}</form><script>document.forms[0].submit()</script>`
      : `<script>location = ${JSON.stringify(to.url)}</script>`));
  });
  return context;
}

/// Opens the attacker's page, which redirects the browser, and waits for the last page.
async function sent(context, url, form) {
  const page = await context.newPage();
  await page.goto(`${EVIL}/?${encodeURIComponent(JSON.stringify({ url, form }))}`);
  await page.waitForURL((there) => !there.href.startsWith(EVIL));
  await page.waitForLoadState("networkidle");
  return page;
}

async function signIn(context, provider, who) {
  const page = await context.newPage();
  await page.goto(`${at}/auth/sign-in?workspaceSubdomain=acme`);
  await page.click(`form[action="/auth/sign-in/${provider}"] button`);
  await consent(page, who);
  check((await page.textContent("h1")).startsWith("Hello"), `came to ${page.url()}`);
  await page.close();
}

/// Consents at the provider as often as it asks, and waits for the page `target`.
async function agree(page, who, target) {
  await page.waitForURL((url) => url.href.startsWith(demo));
  for (let round = 0; round < 3 && page.url().startsWith(demo); round += 1) {
    const asked = page.url();
    await page.check(`input[name=person][value=${who}]`);
    await page.click("button[value=allow]");
    await page.waitForURL((url) => url.href !== asked);
  }
  await page.waitForURL(target);
}

/// Runs an attack and checks that nothing has changed.
async function unharmed(attack) {
  const before = await command("state-digest");
  const page = await attack();
  check((await command("state-digest")) === before, `the database was changed at ${page.url()}`);
  return page;
}

const ada = await person();
const steps = {
  async "a link with an invitation stops at a page"() {
    await signIn(ada, "microsoft", "ada");
    await command("connected ada@acme.example microsoft");
    for (const [invitation, name] of [
      [await command("public-invite evil"), "public"],
      [await command("invite evil ada@acme.example"), "personal"],
    ]) {
      const link = `${at}/auth/microsoft?${invitation}&returnTo=${evilHost}/&codeChallenge=${CHALLENGE}`;
      const page = await unharmed(() => sent(ada, link));
      check(page.url().startsWith(`${at}/auth/review/microsoft?`), `came to ${page.url()}`);
      await expectTitle(page, "Join evil");
      const text = await page.textContent("main");
      for (const word of ["evil.localhost", "ada@acme.example", "Acme", "signed in as you"]) {
        check(text.includes(word), `the page does not say ${word}`);
      }
      await look(page, `review-invited-${name}`);
      await page.close();
    }
  },

  async "another site chooses no visibility"() {
    for (const query of [
      "?reconnect=1&messageVisibility=SHARE_EVERYTHING&calendarVisibility=SHARE_EVERYTHING",
      "-apis?messageVisibility=SHARE_EVERYTHING",
    ]) {
      const page = await unharmed(() => sent(ada, `${at}/auth/microsoft${query}`));
      check(page.url().startsWith(`${at}/auth/review/microsoft?`), `came to ${page.url()}`);
      await page.close();
    }
  },

  async "the review page cannot be bypassed"() {
    const target = `${at}/auth/review/microsoft/continue`;
    const query = "?purpose=connect&messageVisibility=SHARE_EVERYTHING";
    const page = await unharmed(() => sent(ada, `${target}${query}`));
    check(!page.url().startsWith(demo), `came to ${page.url()}`);
    await page.close();
    // The same fields as the page sends, from a page of the attacker.
    const mine = await ada.newPage();
    await mine.goto(`${at}/auth/review/microsoft?purpose=connect`);
    const fields = await mine.$$eval("form input[type=hidden]", (all) =>
      Object.fromEntries(all.map((one) => [one.name, one.value])));
    await mine.close();
    check(fields.seen?.length === 22, "the form says what it showed");
    const forged = await unharmed(() =>
      sent(ada, target, { ...fields, messageVisibility: "SHARE_EVERYTHING" }));
    await expectTitle(forged, "Another web site made this request");
    await look(forged, "review-forged");
    await forged.close();
    // The page cannot be shown in a frame.
    const framed = await ada.newPage();
    await framed.goto(`${EVIL}/`);
    const shown = await framed.evaluate((src) => new Promise((resolve) => {
      const frame = Object.assign(document.createElement("iframe"), { src });
      frame.onload = () => setTimeout(() => {
        try { resolve(frame.contentDocument ? "blank" : "foreign"); } catch { resolve("foreign"); }
      }, 300);
      document.body.append(frame);
    }), `${at}/auth/review/microsoft?purpose=connect`);
    const inner = framed.frames().find((frame) => frame !== framed.mainFrame());
    const text = inner ? await inner.textContent("body").catch(() => "") : "";
    check(!text.includes("Connect Microsoft"), `the page is shown in a frame (${shown})`);
    await framed.close();
  },

  async "a person who joins by a link is asked before anything is connected"() {
    const context = await person();
    const page = await sent(context, `${at}/auth/google?workspaceSubdomain=acme&returnTo=${CRM}/inbox`);
    await consent(page, "grace");
    await expectTitle(page, "Welcome to Acme");
    const text = await page.textContent("main");
    for (const word of ["grace@acme.example", new URL(CRM).host, "Nothing is connected yet"]) {
      check(text.includes(word), `the page does not say ${word}`);
    }
    check((await command("accounts grace@acme.example")) === "0", "an account was connected");
    await look(page, "welcome");
    await page.check("input[name=messageVisibility][value=SUBJECT]");
    await page.click("button >> text=Connect Google");
    await agree(page, "grace", `${CRM}/inbox`);
    check((await command("connected grace@acme.example google")) === "SUBJECT", "as she chose");
    await context.close();
  },

  async "a link in a mail joins by a button"() {
    const invitation = await command("invite acme linus@globex.example");
    const context = await person();
    const page = await context.newPage();
    await page.goto(`${at}/?${invitation}`);
    await expectTitle(page, "Join Acme");
    await look(page, "sign-in-invited");
    await page.click("text=Continue with Google");
    await expectTitle(page, "Join Acme");
    await look(page, "review-joins");
    await page.check("input[name=messageVisibility][value=METADATA]");
    await page.click("text=Join with Google");
    await consent(page, "linus");
    await expectTitle(page, "Hello, Linus Globex");
    check((await command("connected linus@globex.example google")) === "METADATA", "as he chose");
    await context.close();
  },

  async "a front end on another origin opens the page with its choice"() {
    const page = await ada.newPage();
    await page.goto(`${CRM}/settings`);
    await page.evaluate((url) => { location = url; },
      `${at}/auth/google-apis?messageVisibility=METADATA&calendarVisibility=METADATA&redirectLocation=${CRM}/settings`);
    await page.waitForURL(`${at}/auth/review/google?**`);
    await expectTitle(page, "Connect Google");
    check(await page.isChecked("input[name=messageVisibility][value=METADATA]"), "chosen already");
    await look(page, "review-from-a-front-end");
    await page.click("text=Continue to Google");
    await agree(page, "ada", `${CRM}/settings`);
    check((await command("connected ada@acme.example google")) === "METADATA", "as it was chosen");
    await page.close();
  },

  async "a front end on another origin signs a member in"() {
    const page = await ada.newPage();
    await page.goto(`${CRM}/people`);
    await page.evaluate(() => window.latchkey.signIn("/auth/microsoft"));
    await page.waitForURL(`${CRM}/people`);
    await page.waitForFunction(async () => (await window.latchkey?.ready)?.signedIn);
    await page.close();
  },
};

const failed = await runSteps(steps);
await close();
crm.close();
process.exit(failed ? 1 : 0);
