// Light, dark, or what the system says. The choice is kept in this browser.

import { byId } from "./elements.js";

const KEPT = "digitstream-theme";
const CHOICES = ["system", "light", "dark"];

export function chooseTheme(onChange) {
  const button = byId("theme");
  const apply = (choice) => {
    if (choice === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = choice;
    button.textContent = `Colours: ${choice}`;
    localStorage.setItem(KEPT, choice);
    onChange();
  };
  let choice = CHOICES.includes(localStorage.getItem(KEPT)) ? localStorage.getItem(KEPT) : "system";
  button.addEventListener("click", () => apply((choice = CHOICES[(CHOICES.indexOf(choice) + 1) % CHOICES.length])));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", onChange);
  apply(choice);
}
