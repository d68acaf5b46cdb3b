// Latchkey's session for front ends: see docs/session-js.md. The script takes the
// hand-over of a sign-in once, also if there are several tabs or reloads, keeps an
// access token ready, and leaves the page for a sign-in only once until a person acts.
// Scripts hold no long-lived secret unless the deployment enables the cookie tokenPair.
(() => {
  "use strict";
  const service = new URL(document.currentScript?.src || location.href).origin;
  const events = new EventTarget();
  const tabs = "BroadcastChannel" in window ? new BroadcastChannel("latchkey-session") : null;
  const delay = (ms) => new Promise((done) => setTimeout(done, ms));
  const encode = (bytes) =>
    btoa(String.fromCharCode(...new Uint8Array(bytes)))
      .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const digest = async (text) =>
    encode(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));

  // Storage that is blocked or full throws. Values are then kept in the page's memory.
  function storage(kind) {
    const fallback = new Map();
    const attempt = (work) => { try { return work(window[kind]) ?? null; } catch { return undefined; } };
    return {
      get: (name) => fallback.get(name) ?? attempt((area) => area.getItem(`latchkey.${name}`)) ?? null,
      // Returns false if a reload of the page would lose the value.
      set: (name, value) => {
        fallback.delete(name);
        if (attempt((area) => area.setItem(`latchkey.${name}`, value)) !== undefined) return true;
        fallback.set(name, value);
        return false;
      },
      remove: (name) => {
        fallback.delete(name);
        attempt((area) => area.removeItem(`latchkey.${name}`));
      },
    };
  }
  const tabStorage = storage("sessionStorage");
  const originStorage = storage("localStorage");

  // Runs `work` in one tab at a time. Old browsers have no Web Locks; a lease in IndexedDB
  // replaces them. Where the browser denies both, only the calls of this page take turns.
  async function lock(name, work) {
    let begun = false;
    try {
      return await navigator.locks.request(`latchkey-${name}`, () => (begun = true, work()));
    } catch (error) {
      if (begun) throw error;
      return inTurn(name, () => lease(name, work));
    }
  }
  const turns = new Map(); // The last work of each name in this page.
  function inTurn(name, work) {
    const turn = (turns.get(name) ?? Promise.resolve()).then(work);
    turns.set(name, turn.catch(() => {}));
    return turn;
  }
  const inTime = (answer) =>
    Promise.race([answer, delay(2_000).then(() => { throw new Error("latchkey: IndexedDB does not answer"); })]);
  const leaseLife = 16_000; // Milliseconds. A tab that is closed does not give its lease back.
  async function lease(name, work) {
    const opening = openLeases();
    const database = await inTime(opening).catch(() => null);
    if (!database) {
      opening.then((late) => late.close(), () => {});
      return work();
    }
    const ownId = encode(crypto.getRandomValues(new Uint8Array(9)));
    const isFree = ({ id, from }) => !id || id === ownId || !(Date.now() - from >= 0 && Date.now() - from < leaseLife);
    const claim = () => inTime(changeLease(database, name,
      (held) => (isFree(held) ? { id: ownId, from: Date.now() } : held)));
    try {
      let [holder, end] = [null, 0];
      for (let { id } = await claim(); id !== ownId; { id } = await claim()) {
        if (id !== holder) [holder, end] = [id, performance.now() + 2 * leaseLife];
        if (performance.now() > end) break; // Its clock is wrong.
        await delay(20 + Math.random() * 20);
      }
    } catch (error) {
      console.warn(error); // The data of the page are being removed, for example.
    }
    const extension = setInterval(() => claim().catch(() => {}), leaseLife / 4);
    try {
      return await work();
    } finally {
      clearInterval(extension);
      changeLease(database, name, (held) => (held.id === ownId ? {} : held)).catch(() => {}).then(() => database.close());
    }
  }
  function openLeases() {
    return new Promise((resolve, reject) => {
      const opening = indexedDB.open("latchkey-session");
      opening.onupgradeneeded = () => opening.result.createObjectStore("leases");
      opening.onsuccess = () => resolve(opening.result);
      opening.onerror = () => reject(opening.error);
    });
  }
  // The browser runs transactions that write one after another, over all tabs.
  function changeLease(database, name, change) {
    return new Promise((resolve, reject) => {
      const transaction = database.transaction("leases", "readwrite");
      const leases = transaction.objectStore("leases");
      let next;
      leases.get(name).onsuccess = ({ target }) => leases.put(next = change(target.result ?? {}), name);
      transaction.oncomplete = () => resolve(next);
      transaction.onabort = () => reject(transaction.error);
    });
  }

  // The code is removed from the address before other scripts run, so that no router
  // reads it and no bookmark contains it.
  function takeFragment(pattern) {
    const found = pattern.exec(location.hash);
    if (found) {
      history.replaceState(history.state, "",
        location.pathname + location.search + location.hash.slice(0, found.index));
    }
    return found;
  }
  let code = takeFragment(/[#&]code=([\w-]{43})$/)?.[1];

  // Whether `signIn` has left the page already. It is set when `signIn` leaves the page
  // and by a sign-out, and cleared when a person clicks or types. If storage is blocked,
  // the return location carries it.
  let hasLeft = Boolean(takeFragment(/[#&]latchkey=left$/)) || tabStorage.get("left") === "1";
  function markLeft() {
    hasLeft = true;
    return tabStorage.set("left", "1");
  }
  function clearLeft(event) {
    if (!hasLeft || (event && !event.isTrusted)) return;
    hasLeft = false;
    tabStorage.remove("left");
  }
  for (const kind of ["click", "keydown"]) addEventListener(kind, clearLeft, true);

  // Milliseconds since `then`. Two clocks are needed: the first may stop while the
  // machine sleeps, and the second may be changed.
  const clocks = () => [performance.now(), Date.now()];
  const since = (then) => Math.max(...clocks().map((now, index) => now - then[index]));

  let access = null; // { token, life, from, userId, workspaceId, sessionId }
  let current = Object.freeze({ state: "loading", signedIn: null });
  let pagePerson = null; // The person whom this page shows: the first one who was signed in.
  let timer;
  let failures = 0;
  const remainingLife = () => (access ? access.life - since(access.from) : 0);
  const margin = (life) => Math.min(60_000, life / 3);
  const isUsable = (refused) =>
    access && access.token !== refused && remainingLife() > margin(access.life);
  const isOtherPerson = (one) =>
    Boolean(pagePerson && one) && (pagePerson.userId !== one.userId || pagePerson.workspaceId !== one.workspaceId);

  function setState(state, { userId = null, workspaceId = null } = {}, error = null) {
    const signedIn = { signedIn: true, signedOut: false }[state] ?? null;
    const next = { state, signedIn, userId, workspaceId, error };
    if (signedIn) pagePerson ??= next;
    if (["state", "userId", "workspaceId"].every((name) => current[name] === next[name])) return;
    current = Object.freeze({ ...next, otherPerson: signedIn ? isOtherPerson(next) : false });
    events.dispatchEvent(new CustomEvent("change", { detail: current }));
  }
  function setAccess(next) {
    access = next && { ...next, from: clocks() };
    failures = 0;
    clearTimeout(timer);
    // Each tab renews at another time, so that the first one shares its token with the others.
    if (next) timer = setTimeout(renew, next.life - margin(next.life) + Math.random() * 10_000);
    setState(next ? "signedIn" : "signedOut", next ?? {});
  }
  function shareAccess(next) {
    setAccess(next);
    tabs?.postMessage({ access: next });
  }
  let endedSession = null; // The session that was signed out of. Late messages about it are dropped.
  if (tabs) {
    tabs.onmessage = ({ data }) => {
      if (data.ended) {
        endedSession = data.ended;
        markLeft();
      }
      if (!data.access || data.access.sessionId !== endedSession) setAccess(data.access);
    };
  }

  const nextMessage = () => new Promise((done) => tabs?.addEventListener("message", done, { once: true }));

  // Returns the body of the response, or null if nobody is signed in. Throws if the
  // response does not say whether somebody is signed in.
  async function call(path, init) {
    const response = await fetch(service + path, {
      ...init, credentials: "include", cache: "no-store", signal: AbortSignal.timeout?.(15_000),
    }).catch((cause) => {
      throw new Error(`latchkey: ${service} cannot be reached from this page. If it runs: is it in ` +
        `connect-src of the page's Content-Security-Policy, and ${location.origin} in ALLOWED_RETURN_ORIGINS?`, { cause });
    });
    if (response.status === 204 || response.status === 401) return null;
    if (response.ok) return response.json();
    const wait = Number(response.headers.get("Retry-After")) || 0;
    throw Object.assign(new Error(`latchkey: ${path} answered ${response.status}`), { wait: wait * 1_000 });
  }
  async function requestToken(grant) {
    const response = await call("/auth/token", {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify({ ...grant, ifSignedIn: true }),
    });
    if (!response) return null;
    const { accessToken: { token, expiresAt }, expiresIn, refreshToken, userId, workspaceId, sessionId } = response;
    if (refreshToken) originStorage.set("refresh", refreshToken.token);
    // The lifetime comes from the service, because the clock of this machine may be wrong.
    const life = expiresIn * 1_000 || Date.parse(expiresAt) - Date.now();
    return { token, life: Math.max(life, 10_000), userId, workspaceId, sessionId };
  }

  // Returns true the first time only, over all tabs and reloads.
  async function takeOnce(secret) {
    const hash = await digest(secret);
    let taken = [];
    try {
      taken = [...JSON.parse(originStorage.get("taken") ?? "[]")];
    } catch { /* Another script wrote it. */ }
    if (taken.includes(hash)) return false;
    originStorage.set("taken", JSON.stringify([...taken, hash].slice(-32)));
    return true;
  }

  let verifier;
  let bearer; // The access token of a pair without a refresh token.
  async function takeCode() {
    if (!code) return null;
    verifier = tabStorage.get("verifier") ?? undefined;
    tabStorage.remove("verifier");
    if (await takeOnce(code)) return "code";
    code = undefined;
    return null;
  }
  async function takePair() {
    const cookie = document.cookie.split("; ").find((line) => line.startsWith("tokenPair="));
    if (!cookie) return null;
    // Removed before it is decoded, so that an invalid one is not read again.
    document.cookie = `tokenPair=; Path=/; Max-Age=0; SameSite=Lax${isSecureContext ? "; Secure" : ""}`;
    const value = cookie.slice("tokenPair=".length);
    if (!(await takeOnce(value))) return null;
    const pair = JSON.parse(decodeURIComponent(value));
    const token = pair.accessOrWorkspaceAgnosticToken ?? pair.accessToken ?? pair.authToken?.accessToken;
    bearer = token?.token ?? token;
    if (typeof bearer !== "string") return null;
    const refresh = pair.refreshToken?.token;
    if (refresh) originStorage.set("refresh", refresh);
    else originStorage.remove("refresh");
    return "tokenPair";
  }
  // A hand-over that fails is ignored, so that the page loads anyway.
  const withHandoverLock = (work) => lock("handover", work).catch((error) => (console.warn(error), null));

  // A person is signed in only if the service says so. A secret that could not be sent
  // to the service stays stored for the next attempt.
  async function obtainAccess() {
    if (code) {
      const next = await requestToken({ grantType: "code", code, verifier });
      code = undefined;
      if (next) {
        bearer = undefined;
        originStorage.remove("refresh");
        return next;
      }
    }
    const refreshToken = originStorage.get("refresh");
    if (refreshToken) {
      const next = await requestToken({ grantType: "refresh_token", refreshToken });
      bearer = undefined;
      if (next) return next;
      originStorage.remove("refresh");
    }
    if (bearer) {
      const token = bearer;
      const me = await call("/auth/me", { headers: { Authorization: `Bearer ${token}` } });
      bearer = undefined;
      if (me) {
        const { userId, workspaceId, sessionId } = me;
        return { token, life: 60_000, userId, workspaceId, sessionId };
      }
    }
    return requestToken({ grantType: "cookie" });
  }

  let notBefore = 0;
  let lastForcedRenewal = [-Infinity, -Infinity]; // When a refused token was last renewed.
  async function renewUnlocked(refused) {
    if (refused && access?.token === refused) {
      // An API that refuses every token causes at most one renewal in 30 seconds.
      if (since(lastForcedRenewal) < 30_000) return;
      // Another tab's new token may be on its way.
      await Promise.race([delay(200), nextMessage()]);
    }
    if (isUsable(refused)) return;
    if (refused && access?.token === refused) lastForcedRenewal = clocks();
    if (performance.now() < notBefore) throw current.error ?? new Error("latchkey: waiting for the next attempt");
    try {
      shareAccess(await obtainAccess());
    } catch (error) {
      const wait = Math.max(Math.min(1_000 * 2 ** failures, 60_000), error.wait ?? 0) * (1 + Math.random() / 4);
      failures += 1;
      notBefore = performance.now() + wait;
      clearTimeout(timer);
      timer = setTimeout(retry, wait);
      if (remainingLife() <= 0) {
        console.warn(error);
        setState("unreachable", pagePerson ?? {}, error);
      }
      if (remainingLife() <= 0 || refused) throw error; // Otherwise the current token is still valid.
    }
  }
  const renew = (refused) => lock("token", () => renewUnlocked(refused)).catch(() => {});
  function retry() {
    notBefore = 0;
    return renew().then(() => current);
  }

  // Returns an access token that is valid for at least a minute, or null if nobody is
  // signed in.
  async function accessToken({ refused } = {}) {
    if (!isUsable(refused) && current.state !== "signedOut") await lock("token", () => renewUnlocked(refused));
    if (isOtherPerson(access)) throw new Error("latchkey: another person is signed in now; load the page again");
    return access?.token ?? null;
  }

  // Works as `fetch`, with an access token. If the API refuses the token, the request is
  // repeated once with a new one.
  async function authorizedFetch(input, init) {
    const request = new Request(input, init);
    const send = (token) => {
      const next = request.clone();
      if (token) next.headers.set("Authorization", `Bearer ${token}`);
      return fetch(next);
    };
    const token = await accessToken();
    const answer = await send(token);
    if (answer.status !== 401 || !token) return answer;
    const next = await accessToken({ refused: token }).catch(() => null);
    return next && next !== token ? send(next) : answer;
  }

  // Leaves the page for a sign-in that returns to it. Returns false if a person has to
  // start it: it has left once already, or the service cannot be reached.
  let isLeaving = false;
  async function signIn(path = "/auth/google", parameters = {}, { person = false } = {}) {
    if (person) clearLeft();
    else if (!navigator.userActivation?.isActive) {
      await ready;
      if (current.state === "unreachable") return false;
    }
    if (isLeaving || hasLeft) return isLeaving;
    isLeaving = true;
    setTimeout(() => { isLeaving = false; }, 10_000);
    const url = new URL(path, service);
    url.searchParams.set("returnTo", location.href);
    for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
    const back = url.searchParams.get("returnTo");
    if (!markLeft()) url.searchParams.set("returnTo", `${back}${back.includes("#") ? "&" : "#"}latchkey=left`);
    const secret = encode(crypto.getRandomValues(new Uint8Array(32)));
    // Without storage there is no challenge; the session cookie then proves the code.
    if (crypto.subtle && tabStorage.set("verifier", secret)) url.searchParams.set("codeChallenge", await digest(secret));
    location.assign(url);
    return true;
  }

  // Signs out here. If the deployment signs out at the provider too, the page is left for it, and the
  // browser comes back to `returnTo`.
  async function signOut({ everywhere = false, returnTo = location.href } = {}) {
    const token = await accessToken();
    // What the service refuses as a return location must not prevent a sign-out.
    const isRefused = returnTo === location.href &&
      (returnTo.includes("\\") || /^\/(\/|%2f|%5c)/i.test(location.pathname));
    let back = isRefused || returnTo.length > 1_000 ? `${location.origin}/` : returnTo;
    const answer = await lock("token", async () => {
      // So that no effect of the page undoes the sign-out, also after the way back.
      const hadLeft = hasLeft;
      if (!markLeft()) back = `${back}${back.includes("#") ? "&" : "#"}latchkey=left`;
      const path = `/auth/sign-out${everywhere ? "-everywhere" : ""}`;
      const ended = await call(`${path}?returnTo=${encodeURIComponent(back)}`, {
        method: "POST",
        headers: { Accept: "application/json", ...(token && { Authorization: `Bearer ${token}` }) },
      }).catch((error) => {
        if (!hadLeft) clearLeft();
        throw error;
      });
      originStorage.remove("refresh");
      endedSession = access?.sessionId ?? null;
      setAccess(null);
      tabs?.postMessage({ access: null, ended: endedSession ?? true });
      return ended;
    });
    if (answer?.endSessionUrl) location.assign(answer.endSessionUrl);
  }

  const ready = (async () => {
    const [byCode, byPair] = [await withHandoverLock(takeCode), await withHandoverLock(takePair)];
    const handover = byCode ?? byPair;
    await renew();
    return Object.freeze({ ...current, handover });
  })();
  addEventListener("online", retry);
  addEventListener("pageshow", (event) => { if (event.persisted) isLeaving = false; });
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") ready.then(() => renew());
  });

  window.latchkey = Object.freeze({
    ready,
    get session() { return current; },
    accessToken: (options) => ready.then(() => accessToken(options)),
    fetch: (input, init) => ready.then(() => authorizedFetch(input, init)),
    signIn,
    signOut: (options) => ready.then(() => signOut(options)),
    retry: () => ready.then(retry),
    addEventListener: events.addEventListener.bind(events),
    removeEventListener: events.removeEventListener.bind(events),
  });
})();
