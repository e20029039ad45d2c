/** GET /: a chat in one page, in the colours of examples/browser. It asks /v1/chat/completions, and needs nothing else. */
export function page(): Response {
  return new Response(HTML, {
    headers: {
      "content-type": "text/html; charset=utf-8",
      "content-security-policy":
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:",
    },
  });
}

const STYLE = `
:root {
  color-scheme: light dark;
  --paper: light-dark(#fbf9f5, #17171a);
  --sheet: light-dark(#ffffff, #1f1f23);
  --ink: light-dark(#26241f, #e9e6df);
  --soft: light-dark(#6b665c, #a8a399);
  --line: light-dark(#e3ded3, #36353a);
  --lambda: light-dark(#a8481f, #f0986a);
  --bad: light-dark(#a3202c, #ff9c94);
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 46rem; min-height: 100vh; padding: 1rem; display: flex; flex-direction: column;
  background: var(--paper); color: var(--ink); font: 1rem / 1.5 system-ui, sans-serif; }
header { display: flex; gap: 1rem; align-items: baseline; flex-wrap: wrap; }
h1 { margin: 0; font-size: 1.3rem; color: var(--lambda); }
ol { flex: 1; list-style: none; margin: 1rem 0; padding: 0; }
li { margin: 0 0 1rem; white-space: pre-wrap; overflow-wrap: anywhere; font-family: Georgia, serif; }
li.user { padding: 0.5rem 0.8rem; background: var(--sheet); border: 1px solid var(--line); border-radius: 0.4rem;
  font-family: inherit; }
li.error { color: var(--bad); font-family: inherit; }
form { position: sticky; bottom: 0; padding: 0.6rem 0; background: var(--paper); display: flex; gap: 0.5rem; flex-wrap: wrap; }
textarea, input, select, button { font: inherit; color: inherit; background: var(--sheet); border: 1px solid var(--line);
  border-radius: 0.4rem; padding: 0.4rem 0.6rem; }
#text { flex: 1 1 100%; resize: vertical; }
#system { flex: 1; min-width: 10rem; }
button { cursor: pointer; }
button.primary { background: var(--lambda); border-color: var(--lambda); color: var(--paper); }
#status { color: var(--soft); font-size: 0.85rem; flex: 1; margin: 0; align-self: center; }
`;

const SCRIPT = `
const at = (id) => document.getElementById(id);
const messages = [];
let stop;
let key;
const ask = (path, init = {}) => {
  const headers = { ...init.headers, ...(key ? { authorization: "Bearer " + key } : {}) };
  return fetch(path, { ...init, headers });
};
async function models() {
  let response = await ask("v1/models");
  if (response.status === 401) {
    key = prompt("API key");
    response = await ask("v1/models");
  }
  const { data = [] } = await response.json();
  at("model").replaceChildren(...data.map(({ id }) => new Option(id, id)));
}
function show(role, text) {
  const item = document.createElement("li");
  item.className = role;
  item.textContent = text;
  at("turns").append(item);
  item.scrollIntoView({ block: "end" });
  return item;
}
async function answer() {
  stop = new AbortController();
  at("go").textContent = "Stop";
  const system = at("system").value.trim();
  const body = {
    model: at("model").value,
    messages: [...(system ? [{ role: "system", content: system }] : []), ...messages],
    stream: true,
    stream_options: { include_usage: true },
  };
  const item = show("assistant", "");
  const started = performance.now();
  try {
    const headers = { "content-type": "application/json" };
    const response = await ask("v1/chat/completions", { method: "POST", headers, body: JSON.stringify(body), signal: stop.signal });
    if (!response.ok) throw new Error((await response.json()).error.message);
    let rest = "";
    const decoder = new TextDecoder();
    const reader = response.body.getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      const lines = (rest + decoder.decode(part.value, { stream: true })).split("\\n");
      rest = lines.pop();
      for (const line of lines) take(line, item, started);
    }
  } catch (error) {
    if (!stop.signal.aborted) show("error", error.message);
  }
  if (item.textContent) messages.push({ role: "assistant", content: item.textContent });
  else item.remove();
  stop = undefined;
  at("go").textContent = "Send";
}
function take(line, item, started) {
  if (!line.startsWith("data: ") || line === "data: [DONE]") return;
  const { error, choices = [], usage } = JSON.parse(line.slice(6));
  if (error) throw new Error(error.message);
  item.textContent += choices[0]?.delta?.content ?? "";
  if (!usage) return;
  const seconds = (performance.now() - started) / 1000;
  const { prompt_tokens: read, prompt_tokens_details: { cached_tokens: cached }, completion_tokens: written } = usage;
  at("status").textContent = read + " tokens read, " + cached + " of them before; " + written + " written in " + seconds.toFixed(1) + " s";
}
at("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  if (stop) return stop.abort();
  const content = at("text").value.trim();
  if (!content) return;
  at("text").value = "";
  messages.push({ role: "user", content });
  show("user", content);
  answer();
});
at("text").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  if (!stop) at("ask").requestSubmit();
});
at("new").addEventListener("click", () => {
  stop?.abort();
  messages.length = 0;
  at("turns").replaceChildren();
});
models().catch((error) => show("error", error.message));
`;

const ICON =
  "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath d='M3 14 8 2l5 12' fill='none' stroke='%23b4552d' stroke-width='2.4' stroke-linecap='round' stroke-linejoin='round'/%3E%3C/svg%3E";

const HTML = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Lambent</title>
<link rel="icon" href="${ICON}">
<style>${STYLE}</style>
</head>
<body>
<header><h1>Lambent</h1><select id="model" aria-label="Model"></select></header>
<ol id="turns" aria-live="polite"></ol>
<form id="ask" autocomplete="off">
<textarea id="text" rows="3" aria-label="Message" placeholder="Message (Enter sends, Shift+Enter: a new line)" autofocus></textarea>
<input id="system" aria-label="System prompt" placeholder="System prompt">
<button id="go" class="primary">Send</button>
<button id="new" type="button">New chat</button>
<p id="status" role="status"></p>
</form>
<script>${SCRIPT}</script>
</body>
</html>
`;
