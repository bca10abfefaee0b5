package main

import (
	"strings"

	"rsc.io/qr"
)

// quiet is the width of the empty border, in modules. The standard asks for 4
// (ISO/IEC 18004 section 9.1); cameras are content with 2, and a terminal is small.
const quietZone = 2

// qrText draws a text as a QR code for a terminal, two rows of modules a line. With
// color it is black on white whatever the terminal's own colours are.
func qrText(text string, color bool) string {
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return "" // too long for any QR code; the text itself is shown
	}
	light := func(x, y int) bool { return !code.Black(x, y) }
	var b strings.Builder
	for y := -quietZone; y < code.Size+quietZone; y += 2 {
		if color {
			b.WriteString("\x1b[97;40m")
		}
		for x := -quietZone; x < code.Size+quietZone; x++ {
			switch upper, lower := light(x, y), light(x, y+1); {
			case upper && lower:
				b.WriteString("█")
			case upper:
				b.WriteString("▀")
			case lower:
				b.WriteString("▄")
			default:
				b.WriteString(" ")
			}
		}
		if color {
			b.WriteString("\x1b[0m")
		}
		b.WriteByte('\n')
	}
	return b.String()
}
