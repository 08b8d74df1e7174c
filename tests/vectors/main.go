// Command vectors asks Go's own parsers what they make of many quantities, image references and YAML documents, and
// writes their verdicts as test data. It knows nothing of the Rust parsers that are measured against it.
//
// Regenerate, in this folder: go run . -out .
// The inputs come from a fixed seed, so the same module versions write the same bytes.
//
// Ask about single texts: go run . -stream
// It reads one JSON string a line on stdin and prints both verdicts as one JSON line.
//
// Many more than are committed: go run . -bulk -seed 1 -quantities 1000000 -images 200000
// It prints a verdict a line, each of another text.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func main() {
	out := flag.String("out", ".", "folder that the verdicts are written to")
	streaming := flag.Bool("stream", false, "read JSON strings from stdin and print a verdict a line")
	many := flag.Bool("bulk", false, "print verdicts on texts from -seed, instead of writing files")
	seed := flag.Uint64("seed", 1, "where the texts of -bulk start from")
	quantities := flag.Int("quantities", 1000000, "number of quantities of -bulk")
	images := flag.Int("images", 200000, "number of images of -bulk")
	flag.Parse()
	run := func() error { return generate(*out) }
	if *streaming {
		run = func() error { return stream(os.Stdin, os.Stdout) }
	} else if *many {
		run = func() error { return bulk(os.Stdout, *seed, *quantities, *images) }
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "vectors:", err)
		os.Exit(1)
	}
}

func generate(folder string) error {
	quantities := quantityVerdicts(quantityInputs())
	if err := write(filepath.Join(folder, "quantities.json"), "k8s.io/apimachinery v0.36.3", quantities); err != nil {
		return err
	}
	images := imageVerdicts(imageInputs())
	if err := write(filepath.Join(folder, "images.json"), "github.com/distribution/reference v0.6.0", images); err != nil {
		return err
	}
	return write(filepath.Join(folder, "yaml.json"), "sigs.k8s.io/yaml v1.6.0", yamlVerdicts(yamlInputs()))
}

// write puts one vector on each line, so that a regeneration shows as a readable diff.
func write[V any](path, source string, vectors []V) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	buffered := bufio.NewWriter(file)
	fmt.Fprintf(buffered, "{\"regenerate\": \"go run . -out .\", \"source\": %q, \"vectors\": [\n", source)
	for i, vector := range vectors {
		line, err := marshal(vector)
		if err != nil {
			return fmt.Errorf("%s: vector %d: %w", path, i, err)
		}
		separator := ","
		if i == len(vectors)-1 {
			separator = ""
		}
		fmt.Fprintf(buffered, "%s%s\n", line, separator)
	}
	fmt.Fprintln(buffered, "]}")
	return buffered.Flush()
}

func stream(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var text string
		if err := json.Unmarshal(lines.Bytes(), &text); err != nil {
			return fmt.Errorf("line %q is not a JSON string: %w", lines.Text(), err)
		}
		verdict, err := marshal(struct {
			Quantity quantityVerdict `json:"quantity"`
			Image    imageVerdict    `json:"image"`
		}{judgeQuantity(text), judgeImage(text)})
		if err != nil {
			return err
		}
		// Unbuffered: a test that asks and waits for the answer must get it.
		if _, err := fmt.Fprintf(out, "%s\n", verdict); err != nil {
			return err
		}
	}
	return lines.Err()
}

// marshal is json.Marshal that leaves <, > and & readable.
func marshal(value any) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimRight(text.Bytes(), "\n"), nil
}
