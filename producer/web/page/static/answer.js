// The panel "Answer": shows the newest request of this tab, from its first byte to its last result.

import { byId, make } from "./elements.js";
import { facts, resultView } from "./result.js";
import { tile } from "./tile.js";
import { HINTS, count, duration, sentence } from "./words.js";

const MOST_TILES = 200;

let ticking = null;

// Shows a request in whatever state it is.
export function showRequest(request, { onRetry }) {
  clearInterval(ticking);
  const { state, results, tookMs, picture } = request;
  if (state === "problem") return showProblem(request.problem, { onRetry, picture, tookMs });
  if (state === "done" && !request.batch) {
    show(resultView(results[0], { picture, tookMs }));
    return announce(`${sentence(results[0])} Took ${duration(tookMs)}.`);
  }
  if (state === "done") return showBatch(request);
  show(waitView(request));
  if (state !== "sending") announce(state === "busy" ? "The service is busy. It is sent again soon." : "Waiting for the answer.");
}

export function showResult(result, { picture } = {}) {
  clearInterval(ticking);
  show(resultView(result, { picture }));
  announce(sentence(result));
}

export function showProblem(problem, { onRetry, picture, tookMs } = {}) {
  clearInterval(ticking);
  const code = problem.code ? make("code", {}, problem.code) : null;
  const view = make("article", { className: "failed", data: { status: "problem" } },
    make("p", { className: "status", data: { sign: "✕" } }, problem.title ?? "Failed"),
    make("p", { className: "why" }, `${problem.detail ?? ""} ${HINTS[problem.code] ?? ""} `, code),
    picture ? sent(picture) : null, problem.source ? facts(problem, tookMs) : null);
  if (onRetry) {
    const button = make("button", { type: "button" }, "Try again");
    button.addEventListener("click", onRetry);
    view.append(make("div", { className: "row" }, button));
  }
  show(view);
  announce(`${problem.title ?? "Failed"}. ${problem.detail ?? ""}`);
}

function waitView(request) {
  const { picture, state, started, name, results, problem, pauseMs, progress, known } = request;
  const bar = make("progress", { max: 1, ariaLabel: "Progress" });
  const clock = make("span", {});
  const tick = () => { clock.textContent = duration(Date.now() - started); };
  tick();
  ticking = setInterval(tick, 1000);
  const total = results[0]?.item?.count;
  if (state === "sending" && progress < 1) bar.value = progress;
  if (total) bar.value = results.length / total;
  const headline = {
    sending: progress < 1 ? `Sending ${name}` : `${name} is sent. Waiting for the answer`,
    waiting: total ? `${results.length} of ${count(total, "picture")} read` : `Waiting for ${name}`,
    busy: `Busy. ${name} is sent again in ${duration(pauseMs ?? 0)}`,
  }[state];
  const note = {
    sending: "",
    waiting: known ? "It is in the stream and is not lost. You may load this page again: it goes on waiting." : "Asking the service whether it has arrived.",
    busy: problem?.detail ?? "",
  }[state];
  return make("div", { className: "wait", data: { state } },
    make("p", {}, make("b", {}, headline), " · ", clock), bar,
    note ? make("p", { className: "hint" }, note) : null,
    picture ? sent(picture) : null);
}

// Removed again where the browser cannot show the format.
function sent(picture) {
  const image = make("img", { className: "sent", src: picture, alt: "what was sent" });
  image.addEventListener("error", () => image.remove());
  return image;
}

function showBatch({ name, results, tookMs }) {
  const shown = make("div", {});
  const press = (result, button) => {
    for (const each of list.querySelectorAll("button")) each.setAttribute("aria-pressed", String(each === button));
    shown.replaceChildren(resultView(result));
  };
  const list = make("ol", { className: "tiles", aria: { label: "Results in order" } }, ...results.slice(0, MOST_TILES).map((result) => tile(result, press)));
  const tally = ["recognised", "unsure", "failed"]
    .map((status) => [results.filter((result) => result.status === status).length, status])
    .filter(([number]) => number > 0)
    .map(([number, status]) => `${number} ${status}`)
    .join(", ");
  const summary = `${name}: ${count(results.length, "picture")} in ${duration(tookMs)}: ${tally}.`;
  show(make("div", { data: { status: "batch" } }, make("p", {}, summary),
    results.length > MOST_TILES ? make("p", { className: "hint" }, `The first ${MOST_TILES} are shown.`) : null, list, shown));
  announce(summary);
}

function show(view) {
  byId("view").replaceChildren(view);
}

function announce(text) {
  if (byId("announce").textContent !== text) byId("announce").textContent = text;
}
