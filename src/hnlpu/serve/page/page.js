// Streams from the server's own API; text from the model reaches the page as text only.
"use strict";

const $ = (id) => document.getElementById(id);
const NUMBERS = ["temperature", "top_p", "top_k", "max_tokens", "seed", "presence_penalty", "frequency_penalty"];

let facts = null;       // of the model
let turns = [];         // of the chat: {role, content}
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
  $("prompt-label").textContent = chat ? "Your message" : "Text to continue";
  $("send").textContent = chat ? "Send" : "Generate";
  clear();
  if (chat && !facts?.has_chat_template) {
    $("empty").textContent = "This model knows no roles: messages are joined to one text, which it continues.";
  }
}

function clear() {
  turns = [];
  $("output").replaceChildren($("empty") ?? element("p", "", "soft"));
  $("token").hidden = true;
  forget();
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

// --- the wire

function request(prompt) {
  const body = { model: $("model").value, stream: true, trace_experts: true };
  for (const name of NUMBERS) {
    if ($(name).value !== "") body[name] = Number($(name).value);
  }
  if ($("stop_text").value) body.stop = $("stop_text").value.replaceAll("\\n", "\n");
  if (chatting) return ["v1/chat/completions", { ...body, messages: turns, logprobs: true, top_logprobs: 5 }];
  return ["v1/completions", { ...body, prompt, logprobs: 5 }];
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

async function generate(prompt) {
  const output = $("output");
  $("empty")?.remove();
  if (chatting) {
    turns.push({ role: "user", content: prompt });
    output.append(element("span", "you", "turn"), element("span", prompt, "given"), element("span", "model", "turn"));
    $("prompt").value = "";
  } else {
    output.replaceChildren(element("span", prompt, "given"));
  }
  forget();
  let answer = "", tokens = 0, first = 0;
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
    answer += text;
    const info = describe(choice);
    if (info.experts) fire(info.experts);
    if (text || thought) addToken(output, text || thought, info, Boolean(thought));
    drawExperts(info.experts);
    if (tokens > 1) $("emulator-rate").textContent = round((tokens - 1) * 1000 / (now - first));
    $("emulator-note").textContent = tokens + (tokens === 1 ? " token" : " tokens");
    output.scrollTop = output.scrollHeight;
  }
  if (chatting) turns.push({ role: "assistant", content: answer });
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
