// Bulk: verdicts on more texts than anybody would commit, for a comparison that runs for minutes.
package main

import (
	"bufio"
	"fmt"
	"hash/fnv"
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
)

// bulkQuantity adds how this quantity compares with the one that was accepted before it.
type bulkQuantity struct {
	quantityVerdict
	Order *int `json:"order,omitempty"`
}

func bulk(out io.Writer, seed uint64, quantities, images int) error {
	buffered := bufio.NewWriterSize(out, 1<<16)
	var former *resource.Quantity
	in := newInputs(seed, nil)
	err := in.each(quantities, func() string { return in.wild(in.quantity, pickedQuantities, quantityLetters) }, func(text string) error {
		verdict := bulkQuantity{quantityVerdict: judgeQuantity(text)}
		if verdict.Value != nil {
			if former != nil {
				order := verdict.parsed.Cmp(*former)
				verdict.Order = &order
			}
			kept := verdict.parsed.DeepCopy()
			former = &kept
		}
		return writeLine(buffered, map[string]any{"quantity": verdict})
	})
	if err != nil {
		return err
	}
	err = in.each(images, func() string { return in.wild(in.plainImage, pickedImages, imageLetters) }, func(text string) error {
		return writeLine(buffered, map[string]any{"image": judgeImage(text)})
	})
	if err != nil {
		return err
	}
	return buffered.Flush()
}

// wild makes a text of the grammar's shape, such a text changed, a hand-picked one changed, or letters alone.
func (in *inputs) wild(grammatical func() string, picked, letters []string) string {
	switch kind := in.dice.IntN(100); {
	case kind < 40:
		return grammatical()
	case kind < 70:
		return in.changed([]string{grammatical()}, letters)
	case kind < 92:
		return in.changed(picked, letters)
	}
	return in.repeat(9, letters)
}

// plainImage is legal in most of its parts, none of which comes from a list of words; half as often it is one of those.
func (in *inputs) plainImage() string {
	if in.chance(33) {
		return in.image()
	}
	var text strings.Builder
	if in.chance(60) {
		text.WriteString(in.pick([]string{"localhost", "a." + in.word(9), in.word(5) + "." + in.word(3), "[fd00::" + in.pick(someDigits) + "]"}))
		if in.chance(40) {
			text.WriteString(":" + in.repeat(5, someDigits))
		}
		text.WriteString("/")
	}
	text.WriteString(in.word(12))
	for in.chance(40) {
		text.WriteString(in.pick([]string{"/", "/", ".", "_", "__", "-", "---"}) + in.word(8))
	}
	if in.chance(60) {
		text.WriteString(":" + in.word(3) + in.pick([]string{"", ".", "-", "_", "A"}) + in.repeat(4, someDigits))
	}
	if in.chance(30) {
		text.WriteString("@" + in.pick([]string{"sha256", "sha384", "sha512", "sha256"}) + ":" + in.encoded())
	}
	return text.String()
}

func (in *inputs) word(most int) string {
	return in.repeat(most, strings.Split("abcdefghijklmnopqrstuvwxyz0123456789", ""))
}

// changed mutates up to three times over.
func (in *inputs) changed(picked, letters []string) string {
	text := in.mutate(picked, letters)
	for in.chance(40) {
		text = in.mutate([]string{text}, letters)
	}
	return text
}

// each calls visit with count texts, no two of which are the same.
func (in *inputs) each(count int, next func() string, visit func(string) error) error {
	seen := make(map[uint64]struct{}, count)
	for len(seen) < count {
		text := strings.ToValidUTF8(next(), "?")
		hash := fnv.New64a()
		hash.Write([]byte(text))
		if _, had := seen[hash.Sum64()]; had {
			continue
		}
		seen[hash.Sum64()] = struct{}{}
		if err := visit(text); err != nil {
			return err
		}
	}
	return nil
}

func writeLine(out *bufio.Writer, value any) error {
	line, err := marshal(value)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s\n", line)
	return err
}
