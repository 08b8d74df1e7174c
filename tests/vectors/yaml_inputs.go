// YAML inputs: every form of scalar in every style, as value and as key; structures, anchors, merge keys, tags; then scalars
// put together from the characters that numbers are made of.
package main

import (
	"fmt"
	"strings"
)

var pickedScalars = strings.Fields(`
	y Y yes Yes YES yEs n N no No NO true True TRUE tRue false False FALSE on On ON off Off OFF ~ null Null NULL nuLl
	0 1 -1 +1 007 0777 08 09 0o17 0O17 0x1F 0X1f 0xg 0b101 0B1 0b2 -0b11 +0x1 -0x1F 1_000 1__0 _1 1_ 0_7 0x_1 00 000 -0 +0
	9223372036854775807 9223372036854775808 -9223372036854775808 -9223372036854775809 18446744073709551615 18446744073709551616
	1.0 1. .5 -.5 +.5 . -. 1.5 1e3 1E3 1e+3 1e-3 1e 1e+ e3 1.5e3 .5e3 .e3 1e400 -1e400 1e-400 1e20 1e21 1e22 123456789012345678 0.1 1.10
	.inf .Inf .INF -.inf +.inf .nan .NaN .NAN .iNf inf nan Infinity
	2001-12-14 2001-12-14T21:59:43Z 2001-1-1 2001-13-01 2001- 12:30 12:30:45 1:2 190:20:30
	1Gi 1.5Gi .5Gi 100m 64mb 1k 5% redis:7.2 redis:7 7.2.5 v1 a b << = !x
	&  * - -- --- -1- 1-1 1,000 0,5 １ é "\u00e9"
`)

var yamlDocuments = []string{
	"", "# comment only\n", "a: 1\n", "a: 1", "a:\n", "a: \n  b: 1\n", "- 1\n- 2\n", "text\n", "\"quoted\"\n", "{}", "[]", "{a: 1, b: [x, y]}", "{a: 1,}", "{a}", "[a: 1]",
	"a: {{ .Values.image }}\n", "a: \"{{ .Values.image }}\"\n", "{{- if .x }}\na: 1\n{{- end }}\n", "a: b: c\n", "a: [1\n", "a: 'x\n", "a:\n\t- 1\n", "\ta: 1\n", "a:\tb\n", "a: 1\n b: 2\n", "  a: 1\n  b: 2\n", "a:\n- 1\n- 2\nb: 3\n",
	"a: |\n  x\n  y\n", "a: |-\n  x\n  y\n", "a: |+\n  x\n\n", "a: >\n  x\n  y\n\n  z\n", "a: |2\n   x\n", "a: |\n  text", "a: >-\n  text", "a: |\n\n  x\n", "a: |\n",
	"a: 'it''s'\n", "a: \"\\x41\\u00e9\\n\"\n", "a: \"\\q\"\n", "a: \"two\n  lines\"\n", "a: two\n  lines\n", "a: x #no\n", "a: x#yes\n", "a: # nothing\n", "a: 'x' y\n", "a: \"x\" # note\n",
	"a: &x 1\nb: *x\n", "a: &x {k: 1}\nb: *x\n", "a: *x\n", "a: &x [*x]\n", "a: &x 1\nb: &x 2\nc: *x\n",
	"base: &b {k: 1, l: 2}\nm:\n  <<: *b\n  l: 3\n", "base: &b {k: 1, l: 2}\nm:\n  l: 3\n  <<: *b\n", "m: {<<: [{k: 1}, {k: 2, l: 3}]}\n", "m: {<<: 1}\n", "m: {<<: [1]}\n", "m: {\"<<\": {k: 1}}\n", "m: {<<: {k: 1}, <<: {l: 2}}\n", "m: {!!merge <<: {k: 1}}\n",
	"a: 1\na: 2\n", "m: {k: 1, k: 2}\n", "m: {1: a, 1: b}\n", "m: {1: a, \"1\": b}\n", "m: {yes: 1, true: 2}\n", "m: {k: {l: 1, l: 2}}\n",
	"a: !!str 5\n", "a: !!str yes\n", "a: !!int \"5\"\n", "a: !!int 5.5\n", "a: !!int x\n", "a: !!float 5\n", "a: !!float x\n", "a: !!bool \"yes\"\n", "a: !!bool 1\n", "a: !!null \"\"\n", "a: !!null x\n", "a: !mine 5\n", "a: !mine {k: 5}\n", "a: !!map {k: 1}\n", "a: !!seq [1]\n", "a: !!binary aGk=\n", "a: !!binary \"?\"\n", "a: !!timestamp 2001-12-14\n", "a: ! 5\n", "a: !!set {x}\n", "a: !<tag:yaml.org,2002:str> 5\n",
	"? a\n: 1\n", "? [a]\n: 1\n", "? {a: 1}\n: 2\n", "{[a]: 1}", "null: 1\n", "~: 1\n", ": 1\n", "'': 1\n", "{? a : 1}", "1.5: x\n", "1e3: x\n", "0x10: x\n", ".inf: x\n", "2001-12-14: x\n", "!!binary aGk=: x\n",
	"--- \na: 1\n", "---\na: 1\n...\n", "%YAML 1.1\n---\na: 1\n", "%YAML 1.2\n---\na: 1\n", "%TAG !e! tag:x,2000:\n---\na: !e!b 1\n", "--- a\n", "--- {a: 1}\n", "--- # note\na: 1\n",
	"\ufeffa: 1\n", "a: 1\r\nb: 2\r\n", "a: 1\rb: 2\r", "a: \u00a0x\n", "a: \u2028x\n", "a: x\u0085y\n", "a: \x07\n", "a: \x00\n", "a: \u200b\n", "a: \"\x7f\"\n",
	"{\"a\": 1.0, \"b\": null, \"c\": [true, \"x\"]}", "{\"a\":1}", "{\"a\": \"\\u00e9\\/\"}", "{\n\t\"a\": 1\n}", "a: [1, 2, ]\n", "a: [1, , 2]\n", "a: [,]\n", "a: - 1\n", "a: ?x\n", "a: @x\n", "a: `x\n", "a: %x\n", "a: |x\n", "a: x: \n", "a: :x\n", "a: x:y\n", "a: -x\n", "a: - \n", "- - 1\n  - 2\n", "- a: 1\n  b: 2\n", "-\n", "- \n- 1\n", "a:\n  -\n  - 1\n",
}

func yamlInputs() []string {
	texts := newInputs(11, yamlDocuments)
	for _, scalar := range pickedScalars {
		for _, form := range []string{"a: %s\n", "a: '%s'\n", "a: \"%s\"\n", "[%s]", "%s: 1\n", "a: !!str %s\n", "a: !!int %s\n", "a: !!float %s\n", "a: !!bool %s\n", "a: |-\n  %s\n"} {
			texts.add(fmt.Sprintf(form, scalar))
		}
	}
	digits := []string{"0", "1", "7", "8", "9", "_", ".", "-", "+", "e", "E", "x", "o", "b", "a", "f", ":", "i", "n"}
	texts.fill(len(texts.texts)+2000, func() string {
		var scalar strings.Builder
		for range 1 + texts.dice.IntN(6) {
			scalar.WriteString(texts.pick(digits))
		}
		if texts.chance(15) {
			return scalar.String() + ": 1\n"
		}
		return "a: " + scalar.String() + "\n"
	})
	return texts.texts
}
