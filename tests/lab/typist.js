// Types an answer into the form of an execution in the panel, and sends it: `window.answer(execution, typed)`.

(() => {
  const until = async (what, seconds = 15) => {
    const end = Date.now() + 1000 * seconds;
    for (;;) {
      const found = what();
      if (found) {
        return found;
      }
      if (Date.now() > end) {
        throw new Error(`waited in vain for ${what}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 15));
    }
  };
  const inputsNamed = (form, name) =>
    [...form.querySelectorAll("input, textarea, select")].filter((each) => each.name === name);

  // React listens to the setter of the element's own class.
  const write = (input, text) => {
    const kind = { TEXTAREA: HTMLTextAreaElement, SELECT: HTMLSelectElement }[input.tagName] ?? HTMLInputElement;
    Object.getOwnPropertyDescriptor(kind.prototype, "value").set.call(input, text);
    input.dispatchEvent(new Event(input.tagName === "SELECT" ? "change" : "input", { bubbles: true }));
    return input.value === text || input.value === text.replace(/\r\n?/g, "\n");
  };

  // Rows are added until there is one for the name.
  const inputsFor = async (form, name) => {
    for (let n = 0; n < 20; n++) {
      const found = inputsNamed(form, name);
      if (found.length > 0) {
        return found;
      }
      const list = [...form.querySelectorAll("[data-pf-rows]")]
        .filter((each) => name.startsWith(`${each.dataset.pfRows}/`))
        .pop();
      if (!list) {
        return [];
      }
      const count = form.querySelectorAll(".pf-item").length;
      [...list.querySelectorAll(":scope > .pf-text-button")].pop().click();
      await until(() => form.querySelectorAll(".pf-item").length > count);
    }
    return [];
  };

  const type = async (form, name, texts) => {
    const inputs = await inputsFor(form, name);
    const [first] = inputs;
    if (first === undefined) {
      return false;
    }
    if (first.type === "checkbox") {
      const isOne = inputs.length === 1 && first.value === "on";
      for (const input of inputs) {
        if (input.checked !== (isOne ? texts.length > 0 : texts.includes(input.value))) {
          input.click();
          await new Promise((resolve) => setTimeout(resolve, 0));
        }
      }
      return isOne
        ? texts.every((text) => text === "on")
        : texts.every((text) => inputs.some((each) => each.value === text));
    }
    return write(first, texts.join("\n"));
  };

  window.answer = async (execution, typed) => {
    await jupyterapp.commands.execute("pauseflow:show-workflows", { execution });
    const details = await until(() => document.querySelector(`.pf-details[data-pf-id="${execution}"]`));
    const form = await until(() => details.querySelector("form.pf-answer"));
    // Which branch is meant comes first: its fields are drawn then.
    const names = Object.keys(typed).sort((a, b) => Number(b.endsWith("~is")) - Number(a.endsWith("~is")));
    for (const name of names) {
      if (!(await type(form, name, typed[name]))) {
        return { cannot: name, problems: [] };
      }
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    form.querySelector("button[type=submit]").click();
    await until(() => details.dataset.pfState !== "suspended" || details.querySelector("[role=alert]"));
    const problems = [...details.querySelectorAll("[data-pf-input]")].map((each) => each.dataset.pfInput);
    return { cannot: "", problems };
  };
})();
