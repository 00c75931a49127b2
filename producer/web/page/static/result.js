// One result: the digit, how certain the model is, and where it stands in the topics.

import { make } from "./elements.js";
import { HINTS, SIGNS, duration, percent, reason } from "./words.js";

export function resultView(result, { picture, tookMs } = {}) {
  const failed = result.status === "failed";
  const view = make("article", { className: result.status, data: { status: result.status } }, verdict(result));
  const why = failed ? failure(result.error) : result.status === "unsure" ? reason(result) : null;
  if (why) view.append(make("p", { className: "why" }, why));
  const detail = make("div", { className: "detail" }, failed ? null : bars(result), pictures(result, picture));
  if (detail.childElementCount > 0) view.append(detail);
  view.append(facts(result, tookMs));
  return view;
}

function verdict(result) {
  return make("div", { className: `verdict ${result.status}` },
    make("span", { className: "digit" }, result.status === "failed" ? "–" : String(result.digit)),
    make("div", {},
      make("p", { className: "status", data: { sign: SIGNS[result.status] } }, result.status),
      result.status === "failed" ? null : make("p", { className: "percent" }, `${percent(result.confidence)} `, make("span", { className: "hint" }, "confidence"))));
}

function failure({ code, message }) {
  const hint = HINTS[code] ? ` ${HINTS[code]}` : "";
  return make("span", {}, `${message}${hint} `, make("code", {}, code));
}

function bars({ probabilities, digit }) {
  const list = make("ol", { className: "bars", aria: { label: "Probability of each digit" } });
  probabilities.forEach((share, each) => {
    const fill = make("span", { className: "fill" });
    fill.style.width = `${share * 100}%`;
    list.append(make("li", { className: each === digit ? "top" : "" },
      make("span", {}, String(each)),
      make("span", { className: "track", aria: { hidden: "true" } }, fill),
      make("span", { className: "share" }, percent(share))));
  });
  return list;
}

function pictures({ seen, item }, picture) {
  if (!picture && !seen) return null;
  const column = make("div", { className: "pictures" });
  if (seen) column.append(figure("seen", `data:image/png;base64,${seen}`, "The 28 by 28 pixels that the model saw", "what the model saw"));
  if (picture) column.append(figure("sent", picture, item?.name ?? "what was sent", "what was sent"));
  return column;
}

// Removed again where the browser cannot show the format.
function figure(className, src, alt, caption) {
  const image = make("img", { className, src, alt });
  const view = make("figure", {}, image, make("figcaption", {}, caption));
  image.addEventListener("error", () => view.remove());
  return view;
}

// Also of a problem document, which has them if the picture came as far as the topic.
export function facts(result, tookMs) {
  const { source, timing, item } = result;
  const list = make("dl", { className: "facts" });
  const add = (name, ...text) => list.append(make("dt", {}, name), make("dd", {}, ...text));
  if (item?.name) add("File", item.name);
  const inService = timing ? timing.classified_at_ms - timing.received_at_ms : null;
  if (tookMs !== undefined) add("Took", duration(tookMs), inService === null ? "" : `, of which ${duration(inService)} in the service`);
  else if (inService !== null) add("Took", `${duration(inService)} in the service`);
  if (source) add("Request", `partition ${source.partition}, offset ${source.offset} of `, make("code", {}, source.topic));
  if (result.offset !== undefined) add("Result", `partition ${result.partition}, offset ${result.offset}`);
  if (result.model) add("Model", `${result.model.name} ${result.model.version}`);
  if (result.request_id) add("Id", make("code", {}, result.request_id));
  return list;
}
