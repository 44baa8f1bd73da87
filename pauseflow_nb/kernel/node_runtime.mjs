// Run the JavaScript of one step in Node.js, with Pipedream's `$`, `steps` and `this`.
//
// The kernel sends a request as one line of JSON to standard input, which stays open as long as the kernel lives.
// What the step asks for goes, a line of JSON each, into the file that the request names. Standard output and
// standard error are the step's own.

import fs from "node:fs";
import module from "node:module";
import path from "node:path";
import readline from "node:readline";
import { pathToFileURL } from "node:url";

const PLATFORM = "pipedream-platform:";

// In a function that needs nothing around it: on older versions of Node.js its text runs in another thread.
function makeHooks({ stepURL, source, platformURL, platform }) {
  const isBare = (name) => !/^(\.{0,2}\/|[a-z][a-z+.-]*:|#)/i.test(name);
  return {
    resolve(specifier, context, next) {
      if (specifier === stepURL) return { url: stepURL, format: "module", shortCircuit: true };
      if (specifier === "@pipedream/platform" || specifier === "@pipedreamhq/platform") {
        return { url: platformURL, format: "module", shortCircuit: true };
      }
      // `axios@0.27.2`: npm installs the version that package.json names.
      const plain = isBare(specifier) ? specifier.replace(/^((?:@[^/@]+\/)?[^/@]+)@[^/]+/, "$1") : specifier;
      return next(plain, context);
    },
    load(url, context, next) {
      if (url === stepURL) return { format: "module", source, shortCircuit: true };
      if (url === platformURL) return { format: "module", source: platform, shortCircuit: true };
      return next(url, context);
    },
  };
}

const PLATFORM_SOURCE = `
const { axios, ConfigurationError } = globalThis.pauseflowPlatform;
export { axios, ConfigurationError };
export const DEFAULT_POLLING_SOURCE_TIMER_INTERVAL = 900;
export const defineAction = (it) => it, defineApp = (it) => it, defineSource = (it) => it;
export default { axios, ConfigurationError };
`;

function addHooks(options) {
  if (module.registerHooks) return module.registerHooks(makeHooks(options));
  if (!module.register) throw new Error(`Node.js ${process.version} is too old: install version 20.6 or later`);
  const script = `let hooks; const make = ${makeHooks};
export const initialize = (options) => { hooks = make(options); };
export const resolve = (...all) => hooks.resolve(...all);
export const load = (...all) => hooks.load(...all);`;
  return module.register(`data:text/javascript,${encodeURIComponent(script)}`, { data: options });
}

class ConfigurationError extends Error {
  constructor(message) {
    super(message);
    this.name = "ConfigurationError";
  }
}

function withQuery(url, params) {
  const whole = new URL(url);
  for (const [name, value] of Object.entries(params ?? {})) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== undefined && each !== null) whole.searchParams.append(name, each);
    }
  }
  return whole;
}

async function request(config, timeout) {
  const { url, baseURL, method = "GET", headers = {}, params, data, auth } = config;
  const sent = new Headers(headers);
  if (auth) {
    const plain = `${auth.username ?? ""}:${auth.password ?? ""}`;
    sent.set("Authorization", `Basic ${Buffer.from(plain).toString("base64")}`);
  }
  const isPlain = data !== null && typeof data === "object" && [Object.prototype, Array.prototype].includes(
    Object.getPrototypeOf(data));
  if (isPlain && !sent.has("content-type")) sent.set("Content-Type", "application/json");
  const isForm = (sent.get("content-type") ?? "").startsWith("application/x-www-form-urlencoded");
  const body = !isPlain ? data : isForm ? new URLSearchParams(data) : JSON.stringify(data);
  const response = await fetch(withQuery(baseURL ? new URL(url, baseURL) : url, params), {
    method: method.toUpperCase(),
    headers: sent,
    body: body ?? undefined,
    signal: timeout ? AbortSignal.timeout(timeout) : undefined,
  });
  if (config.responseType === "arraybuffer") return [response, Buffer.from(await response.arrayBuffer())];
  const text = await response.text();
  try {
    return [response, JSON.parse(text)];
  } catch {
    return [response, text];
  }
}

// As that of @pipedream/platform: gives the body, and throws with the response where the status is an error.
async function axios($, config) {
  const [response, data] = await request(config, config.timeout);
  const headers = Object.fromEntries(response.headers);
  const whole = { status: response.status, statusText: response.statusText, headers, data, config };
  const isValid = config.validateStatus ?? ((status) => status >= 200 && status < 300);
  if (!isValid(response.status)) {
    const error = new Error(`Request failed with status code ${response.status}`);
    throw Object.assign(error, { name: "AxiosError", response: whole, config });
  }
  return config.returnFullResponse ? whole : data;
}

// Split a text at its `{{…}}`, which hold JavaScript: the first `}}` that leaves an expression ends it.
function splitTemplate(text, names) {
  const parts = [];
  let at = 0;
  for (let open = text.indexOf("{{"); open >= 0; open = text.indexOf("{{", at)) {
    let close = text.indexOf("}}", open + 2);
    let code = null;
    for (; close >= 0 && code === null; close = code === null ? text.indexOf("}}", close + 1) : close) {
      try {
        code = new Function(...Object.keys(names), `return (${text.slice(open + 2, close)}\n)`);
      } catch (error) {
        if (!(error instanceof SyntaxError)) throw error;
      }
    }
    if (code === null) break;
    parts.push(text.slice(at, open), code);
    at = close + 2;
  }
  return [...parts, text.slice(at)];
}

// Fill in the templates of props. A text that is one expression becomes its value.
function fillIn(value, names) {
  if (Array.isArray(value)) return value.map((each) => fillIn(each, names));
  if (value !== null && typeof value === "object") {
    if (Object.keys(value).length === 1 && value.__lv) return fillIn(value.__lv.value, names);
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, fillIn(each, names)]));
  }
  if (typeof value !== "string" || !value.includes("{{")) return value;
  const parts = splitTemplate(value, names).map((part) =>
    typeof part === "function" ? { found: part(...Object.values(names)) } : part);
  const holes = parts.filter((part) => typeof part !== "string");
  if (holes.length === 1 && parts.every((part) => typeof part !== "string" || !part.trim())) return holes[0].found;
  const spell = (found) => (typeof found === "object" && found !== null ? JSON.stringify(found) : String(found ?? ""));
  return parts.map((part) => (typeof part === "string" ? part : spell(part.found))).join("");
}

// A data store has no counterpart: whoever uses it gets an error that says so, and may test for it.
function needsHands(name, what) {
  return new Proxy({}, {
    get(_, member) {
      if (typeof member === "symbol" || member === "then" || member === "toJSON") return undefined;
      return () => {
        throw new ConfigurationError(`this.${name} is ${what}, which pauseflow does not have: use a file or a database`);
      };
    },
  });
}

function makeProps(component, given, names) {
  const props = {};
  for (const [name, definition] of Object.entries(component.props ?? {})) {
    const type = typeof definition === "string" ? definition : definition?.type;
    if (type === "data_store" || type === "$.service.db") props[name] = needsHands(name, "a data store");
    else if (definition?.default !== undefined) props[name] = definition.default;
  }
  for (const [name, value] of Object.entries(given)) {
    if (!(name in props) || value?.storeId === undefined) props[name] = fillIn(value, names);
  }
  for (const [name, definition] of Object.entries(component.props ?? {})) {
    const app = definition?.type === "app" ? definition : undefined;
    if (app && typeof props[name] === "object") {
      for (const [method, code] of Object.entries(app.methods ?? {})) props[name][method] = code.bind(props[name]);
    }
    if (definition?.type === "http_request" && props[name]) {
      const config = props[name];
      props[name] = { ...config, execute: ($ = undefined) => axios($, readRequest(config)) };
    }
  }
  return props;
}

function readRequest({ url, method, headers, params, body, auth }) {
  const asObject = (rows) => Array.isArray(rows)
    ? Object.fromEntries(rows.filter((row) => !row.disabled).map((row) => [row.name, row.value]))
    : rows ?? {};
  const data = body?.raw ?? (body?.fields ? asObject(body.fields) : body);
  const token = auth?.type === "bearer" ? { Authorization: `Bearer ${auth.token}` } : {};
  const basic = auth?.type === "basic" ? auth : undefined;
  return { url, method, headers: { ...asObject(headers), ...token }, params: asObject(params), data, auth: basic };
}

function makeDollar(asked, { context, links }, deliveries) {
  const say = (call, values = {}) => asked({ call, ...values });
  const refuse = (name, advice) => () => {
    throw new Error(`$.${name} is not available in pauseflow: ${advice}`);
  };
  const rerun = (delay = null, data = null, maxRetries = 10) => {
    say("rerun", { delay, context: data, maxRetries });
    return { ...links };
  };
  return {
    context,
    get files() {
      throw new Error("$.files is not available in pauseflow: use node:fs");
    },
    export(name, value) {
      say("export", { name, value });
    },
    flow: {
      suspend(timeout, options = {}) {
        say("suspend", { timeout: timeout === undefined ? undefined : timeout, options });
        return { ...links };
      },
      rerun,
      retry: rerun,
      delay(ms) {
        say("delay", { ms });
        return { ...links };
      },
      exit(reason = null) {
        say("exit", { reason: reason === null ? null : String(reason) });
      },
      trigger: refuse("flow.trigger", "use flow.run_notebook in a Python step"),
    },
    async respond(response = {}) {
      const { body } = response;
      const isBinary = body instanceof Uint8Array;
      say("respond", { response: { ...response, body: isBinary ? undefined : body },
        bytes: isBinary ? Buffer.from(body).toString("base64") : undefined });
    },
    send: {
      email: ({ subject, text = null, html = null, to = null } = {}) => say("email", { subject, text, html, to }),
      http: (config) => {
        deliveries.push(config);
      },
      emit: refuse("send.emit", "send it to another notebook with an HTTP trigger"),
      s3: refuse("send.s3", "use a client of S3"),
      sse: refuse("send.sse", "serve the events yourself"),
      sql: refuse("send.sql", "use a client of your database"),
    },
  };
}

async function deliver(deliveries) {
  await Promise.all(deliveries.map(async (config) => {
    try {
      const [response] = await request(config, 5000);
      console.log(`$.send.http: ${config.method ?? "GET"} ${config.url}: ${response.status}`);
    } catch (error) {
      console.error(`$.send.http: ${config.method ?? "GET"} ${config.url}: ${error.cause?.message ?? error.message}`);
    }
  }));
}

async function loadComponent(stepURL) {
  const loaded = await import(stepURL);
  const component = loaded.default ?? (Object.keys(globalThis.module.exports).length && globalThis.module.exports);
  const made = typeof component === "function" ? { run: component } : component;
  if (!made) return undefined;
  if (typeof made.run !== "function") {
    throw new TypeError("a step needs `export default defineComponent({ async run({ steps, $ }) { … } })`");
  }
  return made;
}

async function runStep(sent) {
  const asked = (call) => {
    let line;
    try {
      line = JSON.stringify(call);
    } catch (error) {
      throw new TypeError(`$.${call.call}: this value is not JSON: ${error.message.split("\n")[0]}`);
    }
    fs.appendFileSync(sent.calls, `${line}\n`);
  };
  const stepURL = pathToFileURL(path.join(sent.folder, `${sent.step}.mjs`)).href;
  globalThis.defineComponent = (component) => component;
  globalThis.defineAction = globalThis.defineComponent;
  globalThis.pauseflowPlatform = { axios, ConfigurationError };
  globalThis.module = { exports: {} };
  globalThis.require = makeRequire(sent.folder);
  addHooks({ stepURL, source: sent.source, platformURL: PLATFORM, platform: PLATFORM_SOURCE });
  const deliveries = [];
  const $ = makeDollar(asked, sent, deliveries);
  const { steps, context } = sent;
  const component = await loadComponent(stepURL);
  if (component) {
    const props = makeProps(component, sent.props, { steps, $, process, context });
    const self = { ...props };
    for (const [name, method] of Object.entries(component.methods ?? {})) self[name] = method.bind(self);
    const value = await component.run.call(self, { steps, $, ...props });
    if (value !== undefined) asked({ call: "return", value });
  }
  await deliver(deliveries);
}

function makeRequire(folder) {
  const load = module.createRequire(path.join(folder, "step.cjs"));
  const wrapped = (name) => {
    const plain = name.replace(/^((?:@[^/@]+\/)?[^/@]+)@[^/]+/, "$1");
    return /^@pipedream(hq)?\/platform$/.test(plain) ? globalThis.pauseflowPlatform : load(plain);
  };
  return Object.assign(wrapped, load);
}

function leave(status) {
  process.stdout.write("", () => process.stderr.write("", () => process.exit(status)));
}

function fail(calls, error) {
  const isError = error instanceof Error;
  const message = isError ? error.message : JSON.stringify(error) ?? String(error);
  const failure = { call: "error", name: isError ? error.name : "Error", message, stack: isError ? error.stack : null };
  fs.appendFileSync(calls, `${JSON.stringify({ ...failure, code: error?.code ?? null })}\n`);
  leave(1);
}

const lines = readline.createInterface({ input: process.stdin });
lines.once("line", (line) => {
  const sent = JSON.parse(line);
  process.stdin.unref?.();
  process.on("uncaughtException", (error) => fail(sent.calls, error));
  runStep(sent).then(() => leave(0), (error) => fail(sent.calls, error));
});
// The kernel is gone.
lines.once("close", () => process.exit(1));
