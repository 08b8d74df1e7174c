// YAML: what sigs.k8s.io/yaml, by which kubectl reads files, makes of a document: its JSON, or that it is refused.
package main

import "sigs.k8s.io/yaml"

type yamlVerdict struct {
	In string `json:"in"`
	// Out is the JSON; absent when the text was refused.
	Out string `json:"out,omitempty"`
	Err bool   `json:"err,omitempty"`
	// Twice says that a key stands twice, which strict reading refuses.
	Twice bool `json:"twice,omitempty"`
}

func judgeYAML(text string) yamlVerdict {
	out, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		return yamlVerdict{In: text, Err: true}
	}
	_, err = yaml.YAMLToJSONStrict([]byte(text))
	return yamlVerdict{In: text, Out: string(out), Twice: err != nil}
}

func yamlVerdicts(texts []string) []yamlVerdict {
	verdicts := make([]yamlVerdict, 0, len(texts))
	for _, text := range texts {
		verdicts = append(verdicts, judgeYAML(text))
	}
	return verdicts
}
