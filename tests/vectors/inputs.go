// Inputs: the texts the parsers are asked about, hand-picked ones first, then mutations from a fixed seed.
package main

import (
	"math/rand/v2"
	"strings"
)

// inputs collects texts in order, each once.
type inputs struct {
	texts []string
	seen  map[string]bool
	dice  *rand.Rand
}

func newInputs(seed uint64, picked []string) *inputs {
	collected := &inputs{seen: map[string]bool{}, dice: rand.New(rand.NewPCG(seed, 1))}
	for _, text := range picked {
		collected.add(text)
	}
	return collected
}

func (in *inputs) add(text string) {
	if !in.seen[text] {
		in.seen[text] = true
		in.texts = append(in.texts, text)
	}
}

// fill adds texts from make until there are count of them.
func (in *inputs) fill(count int, make func() string) {
	for len(in.texts) < count {
		in.add(make())
	}
}

func (in *inputs) chance(percent int) bool { return in.dice.IntN(100) < percent }

func (in *inputs) pick(from []string) string { return from[in.dice.IntN(len(from))] }

// repeat joins one up to most texts picked from the list.
func (in *inputs) repeat(most int, from []string) string {
	var joined strings.Builder
	for range in.dice.IntN(most) + 1 {
		joined.WriteString(in.pick(from))
	}
	return joined.String()
}

// mutate changes, drops, doubles or inserts a character of a hand-picked text, once or twice.
func (in *inputs) mutate(picked, alphabet []string) string {
	letters := strings.Split(in.pick(picked), "")
	for range in.dice.IntN(2) + 1 {
		if len(letters) == 0 {
			break
		}
		at := in.dice.IntN(len(letters))
		switch in.dice.IntN(4) {
		case 0:
			letters[at] = in.pick(alphabet)
		case 1:
			letters = append(letters[:at:at], letters[at+1:]...)
		case 2:
			letters = append(letters[:at+1:at+1], letters[at:]...)
		default:
			letters = append(letters[:at:at], append([]string{in.pick(alphabet)}, letters[at:]...)...)
		}
	}
	return strings.Join(letters, "")
}
