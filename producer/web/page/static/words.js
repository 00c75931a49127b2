// What the page says. The contract's codes are in docs/contract.md; a code that is not here shows the service's own message.

export const SIGNS = { recognised: "✓", unsure: "?", failed: "✕" };

export function reason(result) {
  switch (result.reason) {
    case "low-confidence":
      return `The model hesitates between digits, so the ${result.digit} is only a guess. Write it larger or more clearly.`;
    case "not-a-digit":
      return `The picture does not seem to show one digit, so the ${result.digit} is only a guess. Letters, several digits and blank pages end here. The bars only compare the digits with each other.`;
    default:
      return `The model is not certain (${result.reason}), so the ${result.digit} is only a guess.`;
  }
}

const FORMATS = "PNG, JPEG, HEIC, AVIF, WebP, GIF, BMP, TIFF, or a zip archive of them";
const SMALLER = "Send a smaller picture.";
const SPLIT = "Split the archive into several.";
const OUR_FAULT = "The fault is with the service, not with your picture. Its operators find the cause in the log.";

// What someone can do about a failure, by the contract's code.
export const HINTS = {
  "unknown-format": `Send ${FORMATS}.`,
  "empty-record": "The file is empty.",
  "record-too-large": SMALLER,
  "damaged-archive": "Make the archive again.",
  "empty-archive": `Put pictures into it: ${FORMATS}.`,
  "too-many-entries": SPLIT,
  "archive-too-large": SPLIT,
  "archive-too-costly": SPLIT,
  "encrypted-entry": "Make the archive without a password.",
  "unknown-compression": "Make the archive with ordinary Deflate compression.",
  "damaged-entry": "Make the archive again.",
  "nested-archive": "Put the pictures into it, not another archive.",
  "image-too-large": SMALLER,
  "too-many-pixels": SMALLER,
  "side-too-long": SMALLER,
  "decodes-too-large": SMALLER,
  "image-too-small": "Send a larger picture.",
  "damaged-image": "Save the file or download it again.",
  "worker-crashed": OUR_FAULT,
  "worker-timeout": OUR_FAULT,
  "internal-error": OUR_FAULT,
};

// For answers that carry no problem document, such as those of a proxy.
export function problemFor(status) {
  if (status === 0) return { title: "The service cannot be reached", detail: "Look at your network connection, then try again." };
  if (status === 401) return { title: "A key is needed", detail: "The service does not know the key, or there was none." };
  if (status === 403) return { title: "Not allowed", detail: "Your key does not allow this." };
  if (status === 404) return { title: "Not found", detail: "The service does not know this request. Send the picture again." };
  if (status === 413) return { title: "Too large", detail: "The file is larger than the service accepts." };
  return { title: `The service answered with status ${status}`, detail: "Try again later." };
}

const PERCENT = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });

// Nothing is rounded to certainty. The service rounds to four decimals, so its 1 means 0.99995 or more.
export function percent(share) {
  if (share > 0.999) return "> 99.9 %";
  return `${PERCENT.format(share * 100)} %`;
}

export function duration(ms) {
  if (ms < 1000) return `${Math.max(1, Math.round(ms))} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
}

export function sentence(result) {
  const name = result.item?.name ? `${result.item.name}: ` : "";
  if (result.status === "failed") return `${name}Failed. ${result.error.message}`;
  if (result.status === "unsure") return `${name}Unsure, perhaps ${result.digit}. ${reason(result)}`;
  return `${name}Read as ${result.digit}, confidence ${percent(result.confidence)}.`;
}

export function count(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}
