// Buttons that copy a text of the page: <button data-copy="id of the text's element" hidden>.
(function () {
  "use strict";

  async function copy(button) {
    const place = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(place.textContent);
      show("Copied.");
      button.dataset.copied = "";
      setTimeout(() => delete button.dataset.copied, 2000);
    } catch {
      // Without HTTPS browsers refuse to copy: select the text instead.
      const details = place.closest("details");
      if (details) {
        details.open = true;
      }
      getSelection().selectAllChildren(place);
      show("Selected: copy it with the keyboard.");
    }
  }

  function show(text) {
    document.getElementById("announcer").textContent = text;
  }

  document.addEventListener("DOMContentLoaded", function () {
    for (const button of document.querySelectorAll("[data-copy]")) {
      button.hidden = false;
      button.addEventListener("click", () => copy(button));
    }
  });
})();
