// Quantity inputs: signs, digits, points, suffixes and the edges of 18 digits, nano and 2^63.
package main

import "strings"

var pickedQuantities = append(strings.Fields(`
	0 -0 +0 00 0.0 .0 0. 0Gi 0m 0e3 0e99 0e9999999999 1 +1 -1 007 1. 1.0 1.000 .5 0.5 -.5 +.5 100 1000 1000000 1024 1100 1500
	1Ki 1Mi 1Gi 1Ti 1Pi 1Ei 7Ei 8Ei 9Ei 1.5Gi .5Gi 0.5Gi 1.Gi +1Gi 1024Ki 1024Mi 1536Mi 1000Ki 1023Ki 8Ki 12Ki 0.5Ki 0.25Ki 0.1Ki
	1.1Ki 0.0001Ki 64Ti 65Ti 1025Ki -1Gi -1024Ki -0.5Gi -1.1Ki -1 -1.5 -0.5 -500m -1.50000000000000000000
	1n 1u 1m 1k 1M 1G 1T 1P 1E 9E 10E 999999999n 1000n 1000u 1000m 1500m 500m 100m 10m 1100m 1.100 1.500 1.500k 1.2345k 0.001 0.0001 0.1m 0.1n
	1e3 1E3 1e+3 1e03 1E+03 1e0 1e1 1e2 1.0e2 1.5e3 1e-3 1e-4 1e-9 1e-10 1e-12 12e6 100e3 1000e3 1e18 9e18 1e19 1e30 1e100 1e400 -1e19 5e-324
	1e-1000 1e4294967296 1e4294967299 1e-4294967296 2E6024865272343 1e2147483647 1e-2147483648 1e9223372036854775807 1e9223372036854775808
	1e99999999999999999999 0e2147483648 1.5e-2147483648
	1Gii 1mi 1K 1i --1 1e 1E1E1 1GB 1GiB 1gi 1ki 1Zi 1Yi 0x10 1,5Gi 1e3Gi 1e3k 1kk 1MB 1g 1b 1B 1_000 1e+ 1e- 1e++1 1ee3 1Ee3 1eE3 ++1 +-1 1+ 1-
	1.2.3 1..2 .. . + - +. -. Gi .Gi Ei .Ei Ki Pi Ti m e3 e i E NaN Inf inf -inf 1e1.5 １Gi 1Gі ½ ١ ∞
	9223372036854775806 9223372036854775807 9223372036854775808 -9223372036854775807 -9223372036854775808 -9223372036854775809
	9223372036854775807.0 9223372036854775806.5 9223372036854775807.5 -9223372036854775806.5 9223372036854775807000m 9223372036854775808000m
	9223372036854775807000000000n 9223372036854775807000000001n 9.223372036854775807e18 9.223372036854775808e18
	9007199254740991Ki 9007199254740992Ki 8796093022207Mi 8589934591Gi 8589934592Gi 8388607Ti 8191Pi 8192Pi 7.999Ei 7.99999999999999999999Ei 9999999999999999999Gi
	999999999999999999 1000000000000000000 100000000000000000000 1000000000000000000.0 -1000000000000000000.0 123456789012345678 1234567890123456789
	0.123456789 0.1234567891 0.999999999 0.9999999991 0.000000001 0.0000000001 0.00000000000000000000000000000000000000000000000001
	0.0000000000000000000000000000000000000000000000000000000001 0.00000000000000000000000001e40 0.0000000001e25 0.000000000000000001E
	1.000000000000000000000000001Gi 0.00000000000000000000000000001Ei 1.23456789012345678901234567890Ti 3.14159265358979Mi 12345678.9Ki
	+99999999999Ki +999999999999Ki +99999999Mi +999999999Mi +99999Gi +999999Gi +99Ti +999Ti +9Pi +1Ei 1.0Ki -1.0Ki 1024.0Ki 1023.9999999999Ki
	1000E 10000P 1000000000000000000n 1000000000000000001n 1000000000000000000u 1100000u 100000m 1000000m
	1e-6 1000000e-6 1234567e-6 100e-3 1000e-3 10e-1 1e5 1e6 1e7 10e5 0.1e1 0.001e3 0.0015e3 1.001 1.0010 1.001000 1.000001 1.0000010
`), "", " 1Gi", "1Gi ", "1 Gi", "1Gi\n", "\t1Gi", "1Gi\x00", "1\u200bGi", "1Gi\u00a0",
	strings.Repeat("0", 61)+"1Gi", strings.Repeat("0", 60)+"1Gi", strings.Repeat("0", 62)+"1Gi", "1e"+strings.Repeat("0", 59)+"3",
	strings.Repeat("9", 64), strings.Repeat("9", 65), "0."+strings.Repeat("0", 62), "0."+strings.Repeat("3", 62), "0."+strings.Repeat("3", 63),
	"1"+strings.Repeat("0", 18), "1"+strings.Repeat("0", 19), "1."+strings.Repeat("0", 17), "1."+strings.Repeat("0", 18))

var (
	quantityLetters = strings.Split("0123456789+-.eEinumkKMGTP x_", "")
	someDigits      = strings.Split("00000123456789", "")
	someSuffixes    = strings.Fields("Ki Mi Gi Ti Pi Ei n u m k M G T P E Ki Mi Gi")
	brokenSuffixes  = strings.Fields("K g ki Kii mi B iK KM ee Zi eE")
	exponentMarks   = strings.Fields("e E e+ e- E- e0 e-0")
)

func quantityInputs() []string {
	in := newInputs(7, pickedQuantities)
	in.fill(1500, func() string { return in.mutate(pickedQuantities, quantityLetters) })
	in.fill(3600, in.quantity)
	return in.texts
}

// quantity makes a text of the grammar's shape; one in twenty has a suffix that does not exist.
func (in *inputs) quantity() string {
	var text strings.Builder
	if in.chance(15) {
		text.WriteString(in.pick([]string{"+", "-", "-"}))
	}
	if in.chance(92) {
		text.WriteString(in.digits())
	}
	if in.chance(45) {
		text.WriteString(".")
		if in.chance(92) {
			text.WriteString(in.digits())
		}
	}
	switch kind := in.dice.IntN(100); {
	case kind < 50:
		text.WriteString(in.pick(someSuffixes))
	case kind < 75:
		text.WriteString(in.pick(exponentMarks) + in.repeat(2, someDigits))
	case kind < 80:
		text.WriteString(in.pick(brokenSuffixes))
	}
	return text.String()
}

// digits is mostly short; the long runs reach the parser's other arithmetic.
func (in *inputs) digits() string {
	if in.chance(15) {
		return in.repeat(24, someDigits)
	}
	if in.chance(25) {
		return in.repeat(2, someDigits) + strings.Repeat("0", in.dice.IntN(10))
	}
	return in.repeat(5, someDigits)
}
