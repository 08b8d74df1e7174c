// Images: the verdict of distribution's ParseNormalizedNamed, split into the parts it finds.
package main

import (
	"errors"
	"strings"

	// Digests of an algorithm that is not linked in are refused as unsupported; container runtimes link these.
	_ "crypto/sha256"
	_ "crypto/sha512"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

type imageVerdict struct {
	In string `json:"in"`
	// Err names the refusal; absent when the text was accepted.
	Err    string `json:"err,omitempty"`
	Host   string `json:"host,omitempty"`
	Path   string `json:"path,omitempty"`
	Tag    string `json:"tag,omitempty"`
	Digest string `json:"digest,omitempty"`
}

func judgeImage(text string) imageVerdict {
	verdict := imageVerdict{In: text}
	named, err := reference.ParseNormalizedNamed(text)
	if err != nil {
		verdict.Err = imageError(err)
		return verdict
	}
	verdict.Host, verdict.Path = reference.Domain(named), reference.Path(named)
	if tagged, ok := named.(reference.Tagged); ok {
		verdict.Tag = tagged.Tag()
	}
	if digested, ok := named.(reference.Digested); ok {
		verdict.Digest = digested.Digest().String()
	}
	return verdict
}

func imageError(err error) string {
	switch {
	case errors.Is(err, reference.ErrReferenceInvalidFormat):
		return "format"
	case errors.Is(err, reference.ErrNameTooLong):
		return "too-long"
	case errors.Is(err, digest.ErrDigestInvalidFormat):
		return "digest-format"
	case errors.Is(err, digest.ErrDigestInvalidLength):
		return "digest-length"
	case errors.Is(err, digest.ErrDigestUnsupported):
		return "digest-unsupported"
	case strings.HasSuffix(err.Error(), "must be lowercase"):
		return "uppercase"
	case strings.Contains(err.Error(), "64-byte hexadecimal"):
		return "identifier"
	}
	return err.Error()
}

func imageVerdicts(texts []string) []imageVerdict {
	verdicts := make([]imageVerdict, 0, len(texts))
	for _, text := range texts {
		verdicts = append(verdicts, judgeImage(text))
	}
	return verdicts
}
