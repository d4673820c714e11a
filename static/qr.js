// A QR code as a picture that scales: one path of squares.

import qrcode from "./vendor/qrcode.mjs";
import { draw } from "./dom.js";

/** White around the code, in modules (ISO/IEC 18004 asks for four). */
const QUIET = 4;

/**
 * @param {string} text
 * @returns {SVGElement}
 */
export function qrPicture(text) {
  const code = qrcode(0, "M");
  code.addData(text);
  code.make();
  const count = code.getModuleCount();
  const side = count + 2 * QUIET;
  let path = "";
  for (let row = 0; row < count; row += 1) {
    for (let column = 0; column < count; column += 1) {
      if (code.isDark(row, column)) path += `M${column + QUIET} ${row + QUIET}h1v1h-1z`;
    }
  }
  return draw("svg", { viewBox: `0 0 ${side} ${side}`, role: "img", "aria-label": "QR code of the link" },
    draw("rect", { width: side, height: side, fill: "#fff" }),
    draw("path", { d: path, fill: "#000" }));
}
