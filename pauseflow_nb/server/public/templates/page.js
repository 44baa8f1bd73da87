// Look again every few seconds while the run continues, but never under somebody who types.
(() => {
  const main = document.querySelector("main[data-refresh]");
  if (!main || !window.fetch) {
    return;
  }
  const look = async () => {
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
      if (page && page.innerHTML !== main.innerHTML) {
        main.innerHTML = page.innerHTML;
      }
      if (page && page.hasAttribute("data-refresh")) {
        setTimeout(look, 3000);
      }
    } catch {
      setTimeout(look, 10000);
    }
  };
  setTimeout(look, 2000);
})();
