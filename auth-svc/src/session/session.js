// Latchkey's session for front ends: see docs/session-js.md. Takes a sign-in's
// hand-over exactly once, over tabs and reloads, and keeps an access token at
// hand. No script ever holds a long-lived secret, but where the deployment has
// switched the cookie tokenPair on.
(() => {
  "use strict";
  const service = new URL(document.currentScript?.src || location.href).origin;
  const events = new EventTarget();
  const tabs = "BroadcastChannel" in window ? new BroadcastChannel("latchkey") : null;
  const lock = (name, work) =>
    navigator.locks ? navigator.locks.request(`latchkey-${name}`, work) : work();
  const encode = (bytes) =>
    btoa(String.fromCharCode(...new Uint8Array(bytes)))
      .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const digest = async (text) =>
    encode(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));

  let access = null; // { token, expiresAt }
  let margin = 60_000; // A token that lives shorter is renewed first.
  let timer;
  const life = () => (access ? Date.parse(access.expiresAt) - Date.now() : -1);

  function hold(next) {
    const changed = Boolean(next) !== Boolean(access);
    access = next;
    margin = Math.min(60_000, Math.max(life(), 0) / 3);
    clearTimeout(timer);
    // Some seconds apart in each tab: the first one's token reaches the others.
    if (next) timer = setTimeout(() => accessToken().catch(() => {}),
      Math.max(life() - margin, 1_000) + Math.random() * 10_000);
    if (changed) events.dispatchEvent(new CustomEvent("change", { detail: { signedIn: Boolean(next) } }));
  }
  function share(next) {
    hold(next);
    tabs?.postMessage({ access: next });
  }
  if (tabs) tabs.onmessage = ({ data }) => hold(data.access);

  async function ask(grant) {
    const response = await fetch(`${service}/auth/token`, {
      method: "POST",
      credentials: "include",
      cache: "no-store",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify(grant),
    });
    if (response.status === 401) return null;
    if (!response.ok) throw new Error(`latchkey: ${response.status}`);
    return response.json();
  }

  // True the first time only, in whatever tab and after any reload.
  async function isNew(secret) {
    const mark = await digest(secret);
    const taken = JSON.parse(localStorage.getItem("latchkey.taken") || "[]");
    if (taken.includes(mark)) return false;
    localStorage.setItem("latchkey.taken", JSON.stringify([...taken, mark].slice(-32)));
    return true;
  }

  async function takeCode() {
    const found = /[#&]code=([\w-]{43})$/.exec(location.hash);
    if (!found) return null;
    // Away before anything else: not in the history, not in a bookmark.
    history.replaceState(history.state, "",
      location.pathname + location.search + location.hash.slice(0, found.index));
    const verifier = sessionStorage.getItem("latchkey.verifier") ?? undefined;
    sessionStorage.removeItem("latchkey.verifier");
    if (!(await isNew(found[1]))) return null;
    const granted = await ask({ grantType: "code", code: found[1], verifier });
    if (!granted) return null;
    localStorage.removeItem("latchkey.refresh");
    share(granted.accessToken);
    return "code";
  }

  async function takePair() {
    const cookie = document.cookie.split("; ").find((line) => line.startsWith("tokenPair="));
    if (!cookie) return null;
    const value = decodeURIComponent(cookie.slice("tokenPair=".length));
    document.cookie = `tokenPair=; Path=/; Max-Age=0; SameSite=Lax${isSecureContext ? "; Secure" : ""}`;
    if (!(await isNew(value))) return null;
    const pair = JSON.parse(value);
    const next = pair.accessOrWorkspaceAgnosticToken ?? pair.accessToken;
    if (!next?.token) return null;
    if (pair.refreshToken?.token) localStorage.setItem("latchkey.refresh", pair.refreshToken.token);
    share(next);
    return "tokenPair";
  }

  // A hand-over that is broken is none: it never keeps a page from loading.
  const take = (work) => lock("handover", work).catch((error) => (console.warn(error), null));

  async function renew() {
    const refreshToken = localStorage.getItem("latchkey.refresh");
    const granted = refreshToken ? await ask({ grantType: "refresh_token", refreshToken }) : null;
    if (granted) localStorage.setItem("latchkey.refresh", granted.refreshToken.token);
    else localStorage.removeItem("latchkey.refresh");
    return granted ?? ask({ grantType: "cookie" });
  }

  // An access token that lives a minute at least, or null: nobody is signed in.
  async function accessToken() {
    if (life() > margin) return access.token;
    return lock("token", async () => {
      if (life() > margin) return access.token; // Another caller or tab was quicker.
      try {
        share((await renew())?.accessToken ?? null);
      } catch (error) {
        if (life() <= 0) throw error; // The service is away; the token is still good.
      }
      return access?.token ?? null;
    });
  }

  // Leaves the page for a sign-in that comes back to it.
  async function signIn(path = "/auth/google", parameters = {}) {
    const verifier = encode(crypto.getRandomValues(new Uint8Array(32)));
    sessionStorage.setItem("latchkey.verifier", verifier);
    const url = new URL(path, service);
    url.searchParams.set("returnTo", location.href);
    for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
    url.searchParams.set("codeChallenge", await digest(verifier));
    location.assign(url);
  }

  async function signOut({ everywhere = false } = {}) {
    const token = await accessToken();
    const response = await fetch(`${service}/auth/sign-out${everywhere ? "-everywhere" : ""}`, {
      method: "POST",
      credentials: "include",
      headers: { Accept: "application/json", ...(token && { Authorization: `Bearer ${token}` }) },
    });
    if (!response.ok) throw new Error(`latchkey: ${response.status}`);
    localStorage.removeItem("latchkey.refresh");
    share(null);
  }

  const ready = (async () => {
    const handover = (await take(takeCode)) ?? (await take(takePair));
    return { signedIn: Boolean(await accessToken().catch(() => null)), handover };
  })();

  window.latchkey = Object.freeze({
    ready,
    accessToken: () => ready.then(accessToken),
    signIn,
    signOut: (options) => ready.then(() => signOut(options)),
    addEventListener: events.addEventListener.bind(events),
    removeEventListener: events.removeEventListener.bind(events),
  });
})();
