// A result at a glance, as a button that shows it whole.

import { make } from "./elements.js";
import { SIGNS, percent, sentence } from "./words.js";

export function tile(result, onClick, { position = false } = {}) {
  const failed = result.status === "failed";
  const button = make("button", { type: "button", className: `tile ${result.status}`, ariaLabel: sentence(result) },
    make("span", { className: "digit" }, failed ? SIGNS.failed : String(result.digit)),
    make("span", {}, failed ? "failed" : `${SIGNS[result.status]} ${percent(result.confidence)}`),
    result.item?.name ? make("span", { className: "name soft" }, result.item.name.split("/").at(-1)) : null,
    position ? make("span", { className: "soft" }, `${result.source.partition}:${result.source.offset}`) : null);
  button.addEventListener("click", () => onClick(result, button));
  return make("li", {}, button);
}
