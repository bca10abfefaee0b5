// A person without a mouse.
import { expect } from "./house.mjs";

/** Presses Tab until locator has the focus, and sees that the focus is visible. */
export async function tabTo(page, locator, what) {
  for (let i = 0; i < 40; i++) {
    if (await locator.evaluate((e) => e === document.activeElement).catch(() => false)) {
      const visible = await locator.evaluate((e) => {
        const style = getComputedStyle(e);
        return (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== "none";
      });
      expect(visible, `the focus on ${what} cannot be seen`);
      return;
    }
    await page.keyboard.press("Tab");
  }
  throw new Error(`Tab does not reach ${what}`);
}
