// Streams from the server's own API; text from the model reaches the page as text only.
"use strict";

const $ = (id) => document.getElementById(id);
const NUMBERS = ["temperature", "top_p", "top_k", "max_tokens", "seed", "presence_penalty", "frequency_penalty"];

let facts = null;       // of the model
let turns = [];         // messages of the chat
let calls = [];         // tool calls whose results the person has yet to give
let chatting = false;
let counts = [];        // of this answer: [layer][expert]
let running = null;     // AbortController of the answer under way

function element(tag, text, ...classes) {
  const made = document.createElement(tag);
  made.textContent = text;
  made.classList.add(...classes);
  return made;
}

function round(number) {
  if (number >= 1e6) return (number / 1e6).toFixed(2) + " M";
  if (number >= 1e4) return (number / 1e3).toFixed(0) + " k";
  return number >= 100 ? number.toFixed(0) : number.toPrecision(3);
}

function headers() {
  const found = { "Content-Type": "application/json" };
  if ($("key").value) found.Authorization = "Bearer " + $("key").value;
  return found;
}

function complain(text) {
  $("problem").textContent = text;
  $("problem").hidden = !text;
}

async function load() {
  const response = await fetch("hnlpu/model", { headers: headers() });
  if (!response.ok) {
    complain(response.status === 401 ? "This server wants an API key: see Sampling." : "The server does not answer.");
    $("controls").open = true;
    return;
  }
  facts = await response.json();
  complain("");
  $("name").textContent = facts.name;
  document.title = facts.name + ": a hardwired model";
  $("about").textContent = round(facts.weights) + " weights in metal · " + facts.layers + " layers · "
    + (facts.experts ? facts.active_experts + " of " + facts.experts + " experts per token · " : "")
    + "context " + facts.context;
  $("experts").hidden = !facts.experts;
  $("model").replaceChildren(...facts.models.map((name) => new Option(name, name)));
  showChip(facts.chip);
  forget();
  if (facts.has_chat_template) setMode(true);
}

function showChip(chip) {
  if (chip && chip.simulating) {
    $("chip-note").textContent = "being simulated; the first time takes some seconds";
    setTimeout(askForChip, 500);
  } else if (chip && !chip.problem) {
    $("chip-rate").textContent = round(chip.tokens_per_second_per_user);
    $("chip-note").textContent = round(chip.tokens_per_second) + " for " + chip.sequences + " users at once on "
      + chip.chips + (chip.chips === 1 ? " chip" : " chips") + " (hnlpu simulate)";
  } else {
    $("chip-note").textContent = chip ? chip.problem : "not simulated";
  }
}

async function askForChip() {
  const response = await fetch("hnlpu/model?wait=true", { headers: headers() });
  if (response.ok) showChip((await response.json()).chip);
}

function setMode(chat) {
  chatting = chat;
  $("mode-chat").setAttribute("aria-pressed", chat);
  $("mode-text").setAttribute("aria-pressed", !chat);
  $("send").textContent = chat ? "Send" : "Generate";
  $("no-template").hidden = !chat || !facts || facts.has_chat_template;
  $("tools-label").hidden = !chat;
  clear();
}

function clear() {
  turns = [];
  calls = [];
  label();
  $("output").replaceChildren();
  $("token").hidden = true;
  forget();
}

function label() {
  const asked = calls.length ? "Result of " + calls[0].function.name : "Your message";
  $("prompt-label").textContent = chatting ? asked : "Text to continue";
}

// --- experts

function forget() {
  if (!facts) return;
  counts = facts.expert_layers.map(() => new Array(facts.experts).fill(0));
  const rows = counts.map((row, n) => {
    const layer = facts.expert_layers[n];
    const line = document.createElement("tr");
    line.append(element("th", "layer " + layer), ...row.map((_, expert) => {
      const cell = element("td", "");
      cell.title = "layer " + layer + ", expert " + expert;
      return cell;
    }));
    return line;
  });
  $("map").replaceChildren(...rows);
}

function fire(experts) {
  experts.forEach((row, layer) => row.forEach((expert) => { counts[layer][expert] += 1; }));
}

let toDraw = null;      // the experts to frame, where a frame is due

function drawExperts(shown) {
  if (toDraw === null) requestAnimationFrame(drawNow);
  toDraw = { shown };
}

function drawNow() {
  const { shown } = toDraw;
  toDraw = null;
  const most = Math.max(1, ...counts.flat());
  counts.forEach((row, layer) => row.forEach((count, expert) => {
    const cell = $("map").rows[layer].cells[expert + 1];
    cell.style.setProperty("--heat", (count / most).toFixed(3));
    cell.classList.toggle("now", Boolean(shown?.[layer].includes(expert)));
  }));
}

// --- tokens

function addToken(output, text, info, thought) {
  const token = element("span", text, "token");
  if (thought) token.classList.add("thought");
  token.tabIndex = 0;
  const probability = info.logprob === null ? 1 : Math.exp(info.logprob);
  token.style.setProperty("--doubt", (1 - probability).toFixed(3));
  const show = () => showToken(token, text, info);
  token.addEventListener("click", show);
  token.addEventListener("focus", show);
  output.append(token);
}

function showToken(token, text, info) {
  document.querySelectorAll(".token.shown").forEach((other) => other.classList.remove("shown"));
  token.classList.add("shown");
  $("token").hidden = false;
  $("token-text").textContent = JSON.stringify(text);
  $("choices").replaceChildren(...info.choices.map(([name, logprob]) => {
    const line = document.createElement("tr");
    line.append(element("td", JSON.stringify(name)), element("td", (100 * Math.exp(logprob)).toFixed(1) + " %"));
    return line;
  }));
  drawExperts(info.experts);
}

// --- parts of an answer: thoughts, which are folded, and calls of tools

function fold(output) {
  const last = output.lastElementChild;
  if (last?.classList.contains("thoughts")) return last;
  const made = element("details", "", "thoughts");
  made.append(element("summary", "thoughts"));
  output.append(made);
  return made;
}

function showCall(output, part) {
  if (part.function.name) {
    const made = element("div", "", "call");
    made.append(element("span", "calls " + part.function.name, "turn"), element("code", ""));
    output.append(made);
  }
  output.lastElementChild.querySelector("code").append(part.function.arguments ?? "");
}

function takeCall(message, part) {
  message.tool_calls ??= [];
  const { id, type } = part;
  if (part.function.name) message.tool_calls[part.index] = { id, type, function: { ...part.function } };
  else message.tool_calls[part.index].function.arguments += part.function.arguments;
}

// --- the wire

function request(prompt) {
  const body = { model: $("model").value, stream: true, trace_experts: true };
  for (const name of NUMBERS) {
    if ($(name).value !== "") body[name] = Number($(name).value);
  }
  if ($("stop_text").value) body.stop = $("stop_text").value.replaceAll("\\n", "\n");
  if (chatting) {
    if ($("tools").value.trim()) body.tools = tools();
    return ["v1/chat/completions", { ...body, messages: turns, logprobs: true, top_logprobs: 5 }];
  }
  return ["v1/completions", { ...body, prompt, logprobs: 5 }];
}

function tools() {
  try {
    return JSON.parse($("tools").value);
  } catch (error) {
    throw new Error("tools: must be a list in JSON (" + error.message + ")");
  }
}

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      if (part.startsWith("data: {")) yield JSON.parse(part.slice(6));
    }
  }
}

function describe(choice) {
  const info = { logprob: null, choices: [], experts: choice.experts?.[0] ?? null };
  if (chatting) {
    const entry = choice.logprobs?.content[0];
    if (entry) {
      info.logprob = entry.logprob;
      info.choices = entry.top_logprobs.map((top) => [top.token, top.logprob]);
    }
  } else if (choice.logprobs?.tokens.length) {
    info.logprob = choice.logprobs.token_logprobs[0];
    info.choices = Object.entries(choice.logprobs.top_logprobs[0]).sort((a, b) => b[1] - a[1]);
  }
  return info;
}

// What the person says: a message, or the result of a call.  Whether the model is to answer.
function say(prompt) {
  const output = $("output"), call = calls.shift();
  turns.push(call ? { role: "tool", tool_call_id: call.id, content: prompt } : { role: "user", content: prompt });
  output.append(element("span", call ? call.function.name : "you", "turn"), element("span", prompt, "given"));
  $("prompt").value = "";
  label();
  return calls.length === 0;
}

async function converse(prompt) {
  const before = turns.slice(), asked = calls.slice(), shown = [...$("output").childNodes];
  if (!say(prompt)) return;
  $("output").append(element("span", "model", "turn"));
  const message = { role: "assistant", content: "" };
  let whole = false;
  try {
    await stream(prompt, message);
    whole = true;
  } finally {
    if (whole || message.content || message.reasoning_content || message.tool_calls) {
      turns.push(message);
      calls = [...(message.tool_calls ?? [])];
    } else {  // it failed: as if nothing had been said
      turns = before;
      calls = asked;
      $("output").replaceChildren(...shown);
      $("prompt").value = prompt;
    }
    label();
  }
}

async function generate(prompt) {
  if (chatting) return converse(prompt);
  $("output").replaceChildren(element("span", prompt, "given"));
  return stream(prompt, { content: "" });
}

// The answer as it comes, shown and put into `message`.
async function stream(prompt, message) {
  const output = $("output");
  forget();
  let tokens = 0, first = 0;
  const [path, body] = request(prompt);
  const response = await fetch(path, {
    method: "POST", headers: headers(), body: JSON.stringify(body), signal: running.signal,
  });
  if (!response.ok) throw new Error((await response.json()).error.message);
  for await (const event of events(response)) {
    if (event.error) throw new Error(event.error.message);
    const choice = event.choices[0];
    if (!choice || choice.delta?.role) continue;
    const text = chatting ? choice.delta.content ?? "" : choice.text;
    const thought = choice.delta?.reasoning_content ?? "";
    const now = performance.now();
    if (tokens === 0) first = now;
    tokens += 1;
    message.content += text;
    if (thought) message.reasoning_content = (message.reasoning_content ?? "") + thought;
    const info = describe(choice);
    if (info.experts) fire(info.experts);
    if (thought) addToken(fold(output), thought, info, true);
    if (text) addToken(output, text, info, false);
    for (const part of choice.delta?.tool_calls ?? []) {
      takeCall(message, part);
      showCall(output, part);
    }
    drawExperts(info.experts);
    if (tokens > 1) $("emulator-rate").textContent = round((tokens - 1) * 1000 / (now - first));
    $("emulator-note").textContent = tokens + (tokens === 1 ? " token" : " tokens");
    output.scrollTop = output.scrollHeight;
  }
}

$("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (running) return;
  if (!facts) {
    await load();
    if (!facts) return;
  }
  if (!$("prompt").value) {
    complain("Give it some text to go on from.");
    return;
  }
  complain("");
  running = new AbortController();
  $("send").disabled = true;
  $("stop").disabled = false;
  try {
    await generate($("prompt").value);
  } catch (error) {
    if (error.name !== "AbortError") complain(error.message);
  } finally {
    running = null;
    $("send").disabled = false;
    $("stop").disabled = true;
  }
});
$("stop").addEventListener("click", () => running?.abort());
$("clear").addEventListener("click", clear);
$("mode-text").addEventListener("click", () => setMode(false));
$("mode-chat").addEventListener("click", () => setMode(true));
$("key").addEventListener("change", load);
load();
