// Quantities: the verdict of apimachinery's ParseQuantity, and which texts it must not be asked about.
package main

import (
	"errors"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/inf.v0"
	"k8s.io/apimachinery/pkg/api/resource"
)

type quantityVerdict struct {
	In string `json:"in"`
	// Skip: the parser would not come back in useful time, so it was not asked.
	Skip bool `json:"skip,omitempty"`
	// Err is "format", "suffix" or "numeric"; absent when the text was accepted.
	Err string `json:"err,omitempty"`
	// Out is String(), what the API server stores; Milli is the same after the rounding of resource lists.
	Out   string `json:"out,omitempty"`
	Milli string `json:"milli,omitempty"`
	// Value is Value(); Exact is what its documentation promises, where the two differ within 64 bits.
	Value *int64 `json:"value,omitempty"`
	Exact string `json:"exact,omitempty"`
	// Beyond: the magnitude is over 2^63-1, or was cut to it.
	Beyond bool `json:"beyond,omitempty"`
	// Rank orders the accepted vectors by value; equal values share a rank.
	Rank *int `json:"rank,omitempty"`

	parsed resource.Quantity
}

var errorNames = map[error]string{
	resource.ErrFormatWrong: "format",
	resource.ErrSuffix:      "suffix",
	resource.ErrNumeric:     "numeric",
}

func judgeQuantity(text string) quantityVerdict {
	verdict := quantityVerdict{In: text}
	if hangs(text) {
		verdict.Skip = true
		return verdict
	}
	parsed, err := resource.ParseQuantity(text)
	if err != nil {
		for known, name := range errorNames {
			if errors.Is(err, known) {
				verdict.Err = name
			}
		}
		return verdict
	}
	value := parsed.Value()
	verdict.parsed = parsed
	verdict.Value = &value
	verdict.Out = parsed.String()
	rounded := parsed.DeepCopy()
	rounded.RoundUp(resource.Milli)
	if milli := rounded.String(); milli != verdict.Out {
		verdict.Milli = milli
	}
	exact := awayFromZero(parsed)
	verdict.Beyond = beyond(parsed)
	if !verdict.Beyond && exact.Int64() != value {
		verdict.Exact = exact.String()
	}
	return verdict
}

// hangs tells the texts whose exponent, cut to 32 bits as the parser cuts it, would make it raise ten to a huge power.
func hangs(text string) bool {
	at := strings.IndexAny(text, "eE")
	if at < 0 {
		return false
	}
	exponent, err := strconv.ParseInt(text[at+1:], 10, 64)
	return err == nil && (int32(exponent) > 9999 || int32(exponent) < -9999)
}

func awayFromZero(parsed resource.Quantity) *big.Int {
	copied := parsed.DeepCopy()
	return new(inf.Dec).Round(copied.AsDec(), 0, inf.RoundUp).UnscaledBig()
}

func beyond(parsed resource.Quantity) bool {
	copied := parsed.DeepCopy()
	magnitude := new(inf.Dec).Abs(copied.AsDec())
	order := magnitude.Cmp(inf.NewDec(math.MaxInt64, 0))
	return order > 0 || (order == 0 && parsed.Format == resource.BinarySI)
}

func quantityVerdicts(texts []string) []quantityVerdict {
	verdicts := make([]quantityVerdict, 0, len(texts))
	for _, text := range texts {
		verdicts = append(verdicts, judgeQuantity(text))
	}
	var accepted []*quantityVerdict
	for i := range verdicts {
		if verdicts[i].Value != nil {
			accepted = append(accepted, &verdicts[i])
		}
	}
	slices.SortStableFunc(accepted, func(a, b *quantityVerdict) int { return a.parsed.Cmp(b.parsed) })
	rank := 0
	for i, verdict := range accepted {
		if i > 0 && accepted[i-1].parsed.Cmp(verdict.parsed) != 0 {
			rank++
		}
		verdict.Rank = new(int)
		*verdict.Rank = rank
	}
	return verdicts
}
