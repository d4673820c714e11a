// One panel at a time, by the pattern that screen readers know (WAI-ARIA APG, tabs): arrows move, Tab leaves.

/**
 * @param {HTMLElement} list with role=tablist; its tabs name their panels by aria-controls
 * @param {(panel: string) => void} shown called with the id of each panel that comes to the front
 * @returns {(panel: string) => void} brings a panel to the front
 */
export function setUpTabs(list, shown) {
  const tabs = [...list.querySelectorAll("[role=tab]")];
  const select = (wanted) => {
    for (const tab of tabs) {
      const chosen = tab === wanted;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).hidden = !chosen;
    }
    shown(wanted.getAttribute("aria-controls"));
  };
  list.addEventListener("click", (event) => {
    const tab = event.target.closest("[role=tab]");
    if (tab) select(tab);
  });
  list.addEventListener("keydown", (event) => {
    const at = tabs.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined || at < 0) return;
    event.preventDefault();
    const tab = tabs[(to + tabs.length) % tabs.length];
    tab.focus();
    select(tab);
  });
  return (panel) => select(tabs.find((tab) => tab.getAttribute("aria-controls") === panel));
}
