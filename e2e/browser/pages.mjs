// Uses the pages as people do. A line that begins with `@` is a command for the Rust test
// that runs this script; the test responds with `ok` and a value.
import {
  at, check, consent, expectTitle, launch, look, person, runSteps, until,
} from "./browser.mjs";
import { command } from "./command.mjs";

const CONNECTIONS = `${at}/auth/account/connections`;
const CALENDAR = "https://www.googleapis.com/auth/calendar.events";
const card = (page, handle) => page.locator(".account", { hasText: handle });
const { browser, close } = await launch();
const ada = await person(browser);

/// The button of a provider on the sign-in page.
const button = (provider) => `form[action="/auth/sign-in/${provider}"] button`;

async function signIn(context, provider, who, how) {
  const page = await context.newPage();
  await page.goto(`${at}/auth/sign-in`);
  await page.click(button(provider));
  await consent(page, who, how);
  return page;
}

const steps = {
  async "the pages before a sign-in"() {
    const context = await person(browser);
    const page = await context.newPage();
    await page.goto(`${at}/auth/account/sessions`);
    check(page.url().startsWith(`${at}/auth/sign-in`), "an account page without a session");
    await expectTitle(page, "Sign in to Acme");
    await look(page, "sign-in");
    // With the keyboard alone: past the skip link to the first button.
    await page.keyboard.press("Tab");
    check(await page.locator(".skip").evaluate((link) => link === document.activeElement), "skip");
    await page.keyboard.press("Tab");
    check(/^Continue with/.test(await page.evaluate(() => document.activeElement.textContent)), "tab");
    await page.click("summary");
    await look(page, "sign-in-asked");
    await page.click("text=What Google will share");
    await look(page, "review");
    await page.check("input[name=messageVisibility][value=METADATA]");
    await page.click("text=Continue to Google");
    await page.waitForSelector("input[name=person]");
    await page.goto(`${at}/auth/sign-in?workspaceInviteHash=none`);
    await look(page, "sign-in-bad-invitation");
    await page.goto(`${at}/auth/nothing`);
    await look(page, "not-found");
    context.good();
  },

  async "first sign-in with consent, and start of the sync"() {
    const page = await ada.newPage();
    await page.goto(at);
    await page.click("text=Continue with Google");
    await consent(page, "ada");
    await expectTitle(page, "Hello, Ada Lovelace");
    await page.click("nav >> text=Connections");
    await until(page, "the account", () => card(page, "ada@acme.example").count());
    const mine = card(page, "ada@acme.example");
    check((await mine.locator(".tag.wait").count()) === 2, "both channels wait for the go");
    await look(page, "connections-waiting");
    await page.goto(`${at}/auth/account`);
    await look(page, "overview");
    await page.goto(CONNECTIONS);
    await page.click("text=Start sync");
    await page.waitForURL(/done=started/);
    check((await mine.locator("text=First sync").count()) === 2, "both run");
    await look(page, "connections-started");
    await page.close();
  },

  async "a second visit is not sent to the provider"() {
    const page = await ada.newPage();
    const foreign = [];
    page.on("request", (request) => {
      if (request.isNavigationRequest() && !request.url().startsWith(at)) foreign.push(request.url());
    });
    for (let visit = 0; visit < 2; visit += 1) {
      await page.goto(`${at}/auth/google`);
      await expectTitle(page, "Hello, Ada Lovelace");
    }
    check(foreign.length === 0, `sent to ${foreign}`);
    await page.close();
  },

  async "two tabs at once"() {
    const context = await person(browser);
    const [one, other] = [await context.newPage(), await context.newPage()];
    await Promise.all([one, other].map(async (page) => {
      await page.goto(`${at}/auth/sign-in`);
      await page.click(button("microsoft"));
    }));
    await Promise.all([consent(one, "grace"), consent(other, "grace")]);
    for (const page of [one, other]) {
      await expectTitle(page, "Hello, Grace Hopper");
      await page.reload();
      await expectTitle(page, "Hello, Grace Hopper");
    }
    await one.goto(CONNECTIONS);
    await until(one, "the account", () => card(one, "grace@acme.example").count());
    check((await one.locator(".account").count()) === 1, "one account of two tabs");
    context.good();
    await context.close();
  },

  async "partial consent is shown"() {
    const context = await person(browser);
    const page = await signIn(context, "google", "grace", { untick: [CALENDAR] });
    await page.goto(CONNECTIONS);
    const mine = page.locator(".account", { hasText: "Google" });
    await until(page, "the account", () => mine.count());
    check((await mine.locator("li", { hasText: "Calendar" }).locator(".tag").textContent()) === "No access", "the calendar has none");
    check((await mine.locator("li", { hasText: "Mail" }).locator(".tag").textContent()) === "Ready to start", "mail has");
    await look(page, "connections-partial");
    context.good();
    await context.close();
  },

  async "denied consent says what to do"() {
    const context = await person(browser);
    const page = await context.newPage();
    await page.goto(`${at}/auth/google`);
    await consent(page, "ada", { deny: true });
    await expectTitle(page, "You did not give access");
    await look(page, "denied");
    await page.click("text=Try again");
    await consent(page, "ada");
    await expectTitle(page, "Hello, Ada Lovelace");
    context.good();
    await context.close();
  },

  async "an expired flow begins again"() {
    const context = await person(browser);
    const page = await context.newPage();
    await page.goto(`${at}/auth/google`);
    const flows = (await context.cookies(at)).filter((cookie) => /flow/.test(cookie.name));
    check(flows.length === 1 && flows[0].httpOnly && flows[0].secure, "one cookie of the flow");
    const left = flows[0].expires - Date.now() / 1000;
    check(left > 0 && left <= 600, `the browser drops it after ${left} s`);
    await context.clearCookies({ name: flows[0].name }); // As ten minutes later.
    await consent(page, "ada");
    await expectTitle(page, "This sign-in cannot be finished");
    await look(page, "expired");
    await page.click("text=Try again");
    await consent(page, "ada");
    await expectTitle(page, "Hello, Ada Lovelace");
    context.good();
    await context.close();
  },

  async "a refusal names the domains"() {
    const context = await person(browser);
    const page = await signIn(context, "google", "linus");
    check((await page.textContent("main")).includes("acme.example"), "the domains");
    await look(page, "domain-refused");
    context.good();
    await context.close();
  },

  async "reconnect after revocation"() {
    const page = await ada.newPage();
    await command("done ada@acme.example google");
    await page.goto(CONNECTIONS);
    const mine = card(page, "ada@acme.example");
    check((await mine.locator("text=Up to date").count()) === 2, "both are up to date");
    check(/Last refreshed just now/.test(await mine.textContent()), "last refresh");
    await look(page, "connections-good");
    await command("revoke ada ada@acme.example google");
    await until(page, "the end of access", () => mine.locator("text=Stopped").count());
    await look(page, "connections-revoked");
    await mine.locator("a >> text=Reconnect").click();
    await expectTitle(page, "Connect Google");
    check(await page.isChecked("input[name=messageVisibility][value='']"), "as it is now");
    await look(page, "review-reconnect");
    await page.click("text=Continue to Google");
    await consent(page, "ada");
    check(page.url() === CONNECTIONS, `back at ${page.url()}`);
    await until(page, "the repaired account", async () => !(await mine.locator(".tag.bad").count()));
    await page.close();
  },

  async "one more account, and its end"() {
    const page = await ada.newPage();
    await page.goto(CONNECTIONS);
    await page.locator(".more >> text=Microsoft").click();
    await expectTitle(page, "Connect Microsoft");
    await look(page, "review-connect");
    await page.check("input[name=calendarVisibility][value=METADATA]");
    await page.click("text=Continue to Microsoft");
    await consent(page, "ada");
    const added = page.locator(".account", { hasText: "Microsoft" });
    await until(page, "the second account", () => added.count());
    await added.locator("a >> text=Disconnect").click();
    await look(page, "disconnect");
    await page.click("button >> text=Disconnect");
    await page.waitForURL(/done=disconnected/);
    await until(page, "its end", async () => !(await added.count()));
    await look(page, "connections-disconnected");
    await page.close();
  },

  async "another person's account is not found"() {
    const page = await ada.newPage();
    await page.goto(CONNECTIONS);
    const mine = card(page, "ada@acme.example");
    const target = await mine.locator("a >> text=Disconnect").getAttribute("href");
    const context = await person(browser);
    const other = await signIn(context, "google", "grace");
    const answer = await other.goto(`${at}${target}`);
    check(answer.status() === 404, `answered ${answer.status()}`);
    await expectTitle(other, "You have no such account");
    await look(other, "account-unknown");
    // By a form on a page of this site, which a person can make with developer tools.
    for (const change of [target, target.replace("/disconnect", "/start")]) {
      const [refused] = await Promise.all([
        other.waitForResponse((response) => response.request().method() === "POST"),
        other.evaluate((path) => {
          const form = Object.assign(document.createElement("form"), { method: "post", action: path });
          document.body.append(form);
          form.submit();
        }, change),
      ]);
      check(refused.status() === 404, `POST ${change} answered ${refused.status()}`);
      await expectTitle(other, "You have no such account");
    }
    await page.reload();
    check(!(await mine.locator(".tag.bad").count()), "it goes on as before");
    await context.close();
    await page.close();
  },

  async "an outage is shown, and ends"() {
    const page = await ada.newPage();
    await page.goto(CONNECTIONS);
    const mine = card(page, "ada@acme.example");
    await mine.locator("a >> text=Disconnect").click();
    await command("stop refresh-svc");
    const refused = page.waitForResponse((answer) => answer.request().method() === "POST");
    await page.click("button >> text=Disconnect");
    check((await refused).status() === 503, "refresh-svc is away");
    await expectTitle(page, "This did not work right now");
    await look(page, "disconnect-away");
    await page.click("text=Go to your connections");
    check((await mine.count()) === 1, "the account is still there");
    await command("stop sync-svc");
    const answer = await page.reload();
    check(answer.status() === 503, `answered ${answer.status()}`);
    await expectTitle(page, "Connections");
    await look(page, "connections-away");
    await command("start sync-svc");
    await command("start refresh-svc");
    await until(page, "the account again", () => mine.count());
    await page.close();
  },

  async "a domain is verified by a person who reads its mail"() {
    await command("workspace add-domain globex.example");
    const told = await command("workspace verification-link postmaster@globex.example");
    const link = told.match(/https?:\S+/)[0];
    const context = await person(browser);
    const page = await context.newPage();
    await page.goto(link);
    await look(page, "verify-domain");
    await page.click("text=Verify the domain");
    await look(page, "verify-domain-done");
    await page.goto(link);
    await look(page, "verify-domain-spent");
    context.good();
    await context.close();
  },

  async "sessions are listed and ended"() {
    const elsewhere = await person(browser);
    const there = await signIn(elsewhere, "google", "ada");
    const page = await ada.newPage();
    await page.goto(`${at}/auth/account/sessions`);
    await look(page, "sessions");
    const before = await page.locator(".session").count();
    await page.locator(".session button >> text=End").first().click();
    await page.waitForURL(/done=ended/);
    await look(page, "sessions-ended");
    check((await page.locator(".session").count()) === before - 1, "one session less");
    await there.goto(`${at}/auth/account`);
    await expectTitle(there, "Sign in to Acme");
    await there.click("text=Continue with Google");
    await consent(there, "ada");
    await page.goto(`${at}/auth/account/sessions`);
    await page.click("button >> text=Sign out everywhere");
    for (const one of [page, there]) {
      await one.goto(`${at}/auth/account`);
      await expectTitle(one, "Sign in to Acme");
    }
    elsewhere.good();
    await elsewhere.close();
    await page.close();
  },

  async "a token pair is taken exactly once"() {
    const context = await person(browser);
    // A front end of the replaced system on this origin, with the script alone.
    await context.route(`${at}/front-end`, (route) => route.fulfill({
      contentType: "text/html",
      body: '<!doctype html><title>App</title><script src="/auth/session.js"></script>',
    }));
    const asked = [];
    context.on("request", (request) => {
      if (new URL(request.url()).pathname === "/auth/token") asked.push(request.postData());
    });
    const later = new Date(Date.now() + 30 * 60_000).toISOString();
    const pair = (name) => ({
      name: "tokenPair",
      url: at,
      value: encodeURIComponent(JSON.stringify({
        accessOrWorkspaceAgnosticToken: { token: `access-${name}`, expiresAt: later },
        refreshToken: { token: `refresh-${name}`, expiresAt: later },
      })),
    });
    const open = async (page) => {
      await page.goto(`${at}/front-end`);
      return page.evaluate(() => window.latchkey.ready);
    };
    await context.addCookies([pair("one")]);
    const [left, right] = [await context.newPage(), await context.newPage()];
    const taken = await Promise.all([open(left), open(right)]);
    const how = taken.map((one) => one.handover).sort();
    check(how.filter((one) => one === "tokenPair").length === 1, `two tabs took it: ${how}`);
    check(taken.every((one) => one.signedIn === false), "tokens that auth-svc does not know");
    check(!(await context.cookies(at)).some((one) => one.name === "tokenPair"), "the cookie is gone");
    // The same pair again, as a script in a loop would read it.
    await context.addCookies([pair("one")]);
    check((await open(left)).handover === null, "the same pair is taken a second time");
    await context.addCookies([pair("two")]);
    const next = await open(left);
    check(next.handover === "tokenPair", "the next pair is taken");
    // No loop: a reload without a pair requests a token once and does not navigate.
    const before = asked.length;
    let visits = 0;
    left.on("framenavigated", () => { visits += 1; });
    await left.reload();
    await left.evaluate(() => window.latchkey.ready);
    await left.waitForTimeout(500);
    check(visits === 1, `${visits} navigations`);
    check(asked.length - before === 1, `asked ${asked.length - before} times`);
    context.good();
    await context.close();
  },

  async "sign-out"() {
    const page = await signIn(ada, "google", "ada");
    await page.goto(`${at}/auth/account`);
    await page.click("text=Sign out");
    await expectTitle(page, "Sign in to Acme");
    await page.goBack();
    await page.reload();
    await expectTitle(page, "Sign in to Acme");
    const cookies = (await ada.cookies(at)).map((cookie) => cookie.name);
    check(!cookies.some((name) => /session/.test(name)), `left: ${cookies}`);
    await page.close();
  },
};

let failed = await runSteps(steps);
try {
  ada.good();
} catch (error) {
  failed += 1;
  console.log(`FAILED: forbidden actions in Ada's browser\n${error.message}`);
}
await close();
process.exit(failed ? 1 : 0);
