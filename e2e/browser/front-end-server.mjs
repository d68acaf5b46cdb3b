// Front ends of a customer on two other origins than auth-svc: pages with the texts of
// docs/session-js.md, and an API that accepts access tokens.
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { at } from "./browser.mjs";

const port = process.env.FRONT_PORT;
/// The same site as auth-svc, so that its cookies are sent.
export const SAME = `http://localhost:${port}`;
/// Another site, which gets a session only by a hand-over.
export const OTHER = `http://app.localhost:${port}`;
/// An origin that is not configured.
export const STRANGER = `http://stranger.localhost:${port}`;

const documentation = readFileSync(process.env.DOCUMENTATION, "utf8")
  .replaceAll("https://auth.example.com", at);
const block = (language, mark, text = documentation) => {
  const found = [...text.matchAll(/```(\w+)\n([\s\S]*?)```/g)]
    .find((one) => one[1] === language && one[2].includes(mark));
  if (!found) throw new Error(`the documentation has no ${language} with ${mark}`);
  return found[2];
};

/// The cookie that operators set, with the text of docs/as-typed.md.
export const planted = () =>
  Function(`return (${block("js", "tokenPair", readFileSync(process.env.AS_TYPED, "utf8"))})`)();

/// The title shows how a page has ended, also after an error.
const head = `<!doctype html><link rel="icon" href="data:,"><title>App</title>
<script>addEventListener("unhandledrejection", () => { document.title = "rejected"; });</script>`;
const script = `<script src="${at}/auth/session.js"></script>`;
export const plain = head + block("html", "latchkey.ready");

/// The text of earlier versions of the documentation, which customers have copied.
const earlier = `${head}${script}<script type="module">
  const { signedIn } = await latchkey.ready;
  if (!signedIn) await latchkey.signIn("/auth/google");
  const answer = await fetch("/api/people", {
    headers: { Authorization: \`Bearer \${await latchkey.accessToken()}\` },
  });
  document.title = answer.ok ? "loaded" : "refused";
</script>`;

/// An effect that starts a sign-in after a refusal.
const impatient = `${head}${script}<script type="module">
  await latchkey.ready;
  const answer = await fetch("/api/never", {
    headers: { Authorization: \`Bearer \${await latchkey.accessToken()}\` },
  });
  if (answer.status === 401) await latchkey.signIn("/auth/google");
  document.title = "refused";
</script>`;

/// The effect of earlier versions.
const effects = `${head}${script}
<script type="importmap">{"imports":{"react":"/react.js"}}</script><main id="root"></main>
<script type="module">
  import { StrictMode, createElement as h, useEffect } from "react";
  import { createRoot } from "/react.js";
  function App() {
    useEffect(() => { latchkey.ready.then(({ signedIn }) => signedIn || latchkey.signIn("/auth/google")); }, []);
  }
  createRoot(document.getElementById("root")).render(h(StrictMode, null, h(App)));
</script>`;

/// React's development build runs every effect twice in StrictMode.
const react = `${head}${script}
<script type="importmap">{"imports":{"react":"/react.js"}}</script><main id="root"></main>
<script type="module">
  import { StrictMode, createElement as h } from "react";
  import { createRoot } from "/react.js";
  import { useApi, useSession } from "/recipe.mjs";
  function App() {
    const session = useSession({ required: true });
    const people = useApi("/api/people");
    return h("div", null,
      h("p", { id: "state" }, session.state),
      h("p", { id: "data" }, people ? people.name : "nothing"),
      h("button", { id: "out", onClick: () => latchkey.signOut() }, "Sign out"),
      h("button", { id: "sign-in", onClick: () => latchkey.signIn("/auth/google", {}, { person: true }) }, "Sign in"));
  }
  createRoot(document.getElementById("root")).render(h(StrictMode, null, h(App)));
</script>`;

// The packages are CommonJS; a bundler does the same with them.
function bundle() {
  const require = createRequire(import.meta.url);
  const file = (name) => {
    const [scope, path] = name.split("/cjs/");
    return readFileSync(join(dirname(require.resolve(`${scope}/package.json`)), "cjs", path), "utf8");
  };
  const modules = {
    react: file("react/cjs/react.development.js"),
    scheduler: file("scheduler/cjs/scheduler.development.js"),
    "react-dom": file("react-dom/cjs/react-dom.development.js"),
    "react-dom/client": file("react-dom/cjs/react-dom-client.development.js"),
  };
  const functions = Object.entries(modules)
    .map(([name, text]) => `${JSON.stringify(name)}: (module, exports, require, process) => {${text}}`);
  return `const sources = {${functions.join(",\n")}}; const loaded = {};
    function require(name) {
      if (!loaded[name]) {
        const module = loaded[name] = { exports: {} };
        sources[name](module, module.exports, require, { env: { NODE_ENV: "development" } });
      }
      return loaded[name].exports;
    }
    export const { StrictMode, createElement, useEffect, useState, useSyncExternalStore } = require("react");
    export const { createRoot } = require("react-dom/client");`;
}

const html = (text, headers = {}) => ["text/html", text, headers];
const pages = {
  "/plain": html(plain),
  "/earlier": html(earlier),
  "/impatient": html(impatient),
  "/react": html(react),
  "/effects": html(effects),
  "/bare": html(head + script),
  "/elsewhere": html(head),
  "/react.js": ["text/javascript", bundle()],
  "/recipe.mjs": ["text/javascript", block("js", "useSession")],
};
for (const name of ["plain", "earlier"]) {
  const policy = `script-src ${at} 'unsafe-inline'; connect-src 'self'`;
  pages[`/csp/${name}`] = html(pages[`/${name}`][1], { "Content-Security-Policy": policy });
}

/// A module of the documentation as a file that can be imported.
export async function recipe(language, mark) {
  const path = new URL("./documented.mjs", import.meta.url);
  await writeFile(path, block(language, mark));
  return path;
}

/// Tokens that the API refuses.
export const refused = new Set();

export function serve() {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, SAME);
    const answer = (status, type, text, headers = {}) => {
      response.writeHead(status, { "Content-Type": type, "Cache-Control": "no-store", ...headers });
      response.end(text);
    };
    if (pathname.startsWith("/api/")) {
      const token = /^Bearer (\S+)$/.exec(request.headers.authorization ?? "")?.[1];
      const good = token?.startsWith("ey") && !refused.has(token) && pathname === "/api/people";
      answer(good ? 200 : 401, "application/json", good ? '{"name":"Ada"}' : "{}");
    } else if (pages[pathname]) {
      answer(200, ...pages[pathname]);
    } else {
      answer(404, "text/plain", "");
    }
  });
  return new Promise((done) => server.listen(port, "localhost", () => done(server)));
}
