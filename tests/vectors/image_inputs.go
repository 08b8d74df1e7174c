// Image inputs: hosts, ports, IPv6, path separators, tags, digests, and the lengths at which each is refused.
package main

import "strings"

var (
	hex32 = strings.Repeat("0f", 16)
	hex64 = strings.Repeat("a1", 32)
	hex96 = strings.Repeat("b2", 48)
	h128  = strings.Repeat("c3", 64)
)

var pickedImages = append(strings.Fields(`
	redis redis:7 redis:7.4 redis:latest redis:_7 redis:7-alpine redis:A redis:7.4.1-bookworm re__dis redis--x redis---x re.dis re_dis re-dis
	registry.example.com:5000/a/redis:7 registry.example.com/redis localhost/redis localhost:5000/redis localhost redis:5000/x redis:x/y
	[fd00::1]:5000/redis:7 [fd00::1]/redis [::1]/redis [::]/redis [::1]:/redis [::1]5000/redis []/redis []:5000/redis []:5000/redis:7 [fe80::1%eth0]/redis [::ffff:1.2.3.4]/redis [G::1]/redis [::1/redis ::1]/redis
	[::1]:5000/a/b/redis:7 [ABCD::1]/redis 127.0.0.1/redis 127.0.0.1:5000/redis 1.2.3.4.5/redis
	Redis:7 team/Redis REGISTRY/redis Registry.Example.COM/redis:7 REGISTRY:5000/redis REGISTRY/Redis a/B/c A/b/c localHost/redis Docker.io/redis
	redis: redis:@ redis:7@ redis:7:4 redis:-7 redis:.7 redis:7/ redis@ @ : / :7 @sha256 redis:7@sha256 redis@7 redis@sha256: redis:7@sha256:
	https://registry.example.com/redis:7 http://localhost/redis docker://redis oci:redis
	redis//c /redis redis/ -redis _redis redis- redis_ redis. .redis re..dis re___dis re._dis re.-dis re-_dis re__-dis host:port/redis //redis redis// a//b /
	re____dis re-.dis a/-b a/_b a/b- a/b_ a/.b a/b/ a/./b a/../b ../redis ./redis
	rédis:7 redis:7é РEDIS redis:7$(id) redis;rm redis\n redis%20 redis+x redis:7+x redis=x redis*  redis,x redis|x redis&x redis"x redis'x redis<x
	docker.io/redis docker.io/library/redis index.docker.io/redis index.docker.io/library/redis:7 docker.io docker.io/ docker.io/a/b docker.io/a/b/c index.docker.io library/redis
	foo_bar.baz/redis foo__bar.baz/redis foo-.bar/redis -foo.bar/redis foo.-bar/redis foo..bar/redis .foo/redis foo./redis foo_bar:5000/redis a.b_c/d/e:1 a.b_C/d FOO_bar/redis
	example.com:/redis example.com:5000:1/redis example.com:5000/redis:7 example.com:05000/redis example.com:99999999/redis example.com:-1/redis example.com:5000/ example.com:5000
	example.com.:5000/redis ex-ample.com/redis ex--ample.com/redis xn--n3h.com/redis example.com-/redis EXAMPLE-/redis
	a b/c 1 0/0:0 a:b a:b:c a/b:c/d a/b:c:d a:5/b:6 7/7 _ - . .. a_ _a
`), "", " redis:7", "redis:7 ", "redis: 7", "redis:7\n", "\tredis", "redis\u00a0", "\u00a0redis", "redis\u200b", "re\u200bdis", "redis\x00", "redis\u2028", "\u0085redis",
	"\u212aube/redis", "x.\u212a/redis", "redis:7\u212a", "redis:\u0130", "\u0130/redis", "redis/\u03a3", "redis:\u03a3", "redis\u01c5",
	hex64, hex64[:63], hex64+"a", strings.ToUpper(hex64), hex64+":7", "redis/"+hex64, hex64+"/redis", "redis:"+hex64,
	"redis@sha256:"+hex64, "redis:7@sha256:"+hex64, "registry.example.com:5000/a/redis:7@sha256:"+hex64, "localhost/redis@sha256:"+hex64,
	"sha256:"+hex64, "@sha256:"+hex64, "redis@sha256:"+hex64+"@sha256:"+hex64, "redis@sha256:"+hex64+":7", "redis@sha256:"+hex64+"/x",
	"redis@sha384:"+hex96, "redis@sha512:"+h128, "redis:7@sha384:"+hex64, "redis@sha512:"+hex64, "redis@sha256:"+hex96, "redis@sha256:"+hex64[:63],
	"redis@sha256:"+hex32, "redis@sha256:"+hex32[:31], "redis@md5:"+hex32, "redis@blake3:"+hex64, "redis@sha1:"+hex32+"01234567", "redis@sha256+b64:"+hex64,
	"redis@sha256.x-y_z+w:"+hex64, "redis@a..b:"+hex64, "redis@a-:"+hex64, "redis@-a:"+hex64, "redis@a.1:"+hex64, "redis@1a:"+hex64, "redis@:"+hex64,
	"redis@SHA256:"+hex64, "redis:7@SHA256:"+hex64, "redis:7@Sha256:"+hex64, "redis:7@md5:"+hex32, "redis:7@MD5:"+hex32, "redis:7@a.B:"+hex32,
	"redis@sha256:"+strings.ToUpper(hex64), "redis:7@sha256:"+strings.ToUpper(hex64), "redis@sha256:"+hex64[:63]+"g", "redis@sha256:"+hex64[:63]+"é", "redis:7@sha256:"+hex64[:63]+" ",
	"redis@sha256:"+hex64[:32]+"="+hex64[:31], "redis@@sha256:"+hex64, "redis:@sha256:"+hex64, "re/@sha256:"+hex64,
	"redis:"+strings.Repeat("t", 128), "redis:"+strings.Repeat("t", 129),
	strings.Repeat("a", 247), strings.Repeat("a", 248), "a/"+strings.Repeat("b", 253), "a/"+strings.Repeat("b", 254),
	"example.com/"+strings.Repeat("a", 255)+":7", "example.com/"+strings.Repeat("a", 256)+":7", strings.Repeat("a", 300)+".com/redis",
	"foo_bar.baz/"+strings.Repeat("a", 243), "foo_bar.baz/"+strings.Repeat("a", 244), "example.com/"+strings.Repeat("a", 256)+"@md5:"+hex32,
	"example.com/"+strings.Repeat("a/", 127)+"b", "example.com/"+strings.Repeat("a/", 128)+"b", "docker.io/"+strings.Repeat("a", 248))

var (
	imageLetters   = strings.Split("azAZ059._-:/@[]+ é", "")
	someHosts      = strings.Fields("localhost localhost:5000 example.com registry.example.com:5000 example.com example.com:5000 REG reg:443 [::1] [fd00::1]:5000 10.0.0.1 docker.io index.docker.io a_b.c -a.b a..b UP.low:1 a.b: x.y:z")
	someComponents = strings.Fields("redis redis redis team team library library a a 7 x9 re.dis re_dis re__dis re-dis re--dis re..dis re___dis -a a- _a a_ Redis a.b é")
	someTags       = strings.Fields("7 7.4 latest _x A-b v1.2.3-alpine 7 7.4 .x -x 7:8 x+y a/b") // the last five are illegal
	someAlgorithms = strings.Fields("sha256 sha256 sha384 sha512 sha256 sha256 SHA256 md5 sha256+b64 sha-1 a.b Sha512")
)

func imageInputs() []string {
	in := newInputs(11, pickedImages)
	in.fill(1300, func() string { return in.mutate(pickedImages, imageLetters) })
	in.fill(3000, in.image)
	return in.texts
}

// image makes a text of the grammar's shape; the word lists hold a few parts that are not legal in their place.
func (in *inputs) image() string {
	var text strings.Builder
	if in.chance(50) {
		text.WriteString(in.pick(someHosts) + "/")
	}
	text.WriteString(in.pick(someComponents))
	for in.chance(35) {
		text.WriteString("/" + in.pick(someComponents))
	}
	if in.chance(55) {
		text.WriteString(":" + in.pick(someTags))
	}
	if in.chance(25) {
		text.WriteString("@" + in.pick(someAlgorithms) + ":" + in.encoded())
	}
	return text.String()
}

// encoded is a digest's value, most often of a length that some algorithm has.
func (in *inputs) encoded() string {
	length := []int{64, 64, 64, 64, 96, 128, 32, 31, 63}[in.dice.IntN(9)]
	alphabet := "0123456789abcdef"
	if in.chance(15) {
		alphabet = "0123456789abcdefABCDEF"
	}
	var text strings.Builder
	for range length {
		text.WriteByte(alphabet[in.dice.IntN(len(alphabet))])
	}
	return text.String()
}
