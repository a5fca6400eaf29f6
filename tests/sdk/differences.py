"""Why answers differ from the recorded ones: each rule names a topic, an exchange, a difference
(regular expressions over "METHOD PATH BODY" and over the difference's text) and the reason."""

import re

LATER = "a later release builds this; until then 501"
AFTER_LATER = "follows from an action that a later release builds"
BETTER = "documented improvement on the reference"
ONE_NODE = "one process is gateway and target, and keeps no such counters, keys or settings"
REFUSED = "a promise that this release cannot keep is refused, not kept silently"

# Topic, "METHOD PATH BODY", difference, reason.
RULES = [
    # Improvements: validators everywhere and conditions honoured, 400 and 416 where the reference
    # breaks off or blames itself.
    (r".*", r"^(PUT|GET|HEAD) ", r"^(ETag|Last-Modified) is there", BETTER + ": validators"),
    (r"conditional", r"^GET ", r"^status (304|412), not 200", BETTER + ": conditions hold"),
    (r"conditional", r"^PUT ", r"^status 412, not 200", BETTER + ": conditions hold"),
    (r"ranges", r"^GET ", r"^Content-Range: bytes \*/10, not None", BETTER + ": every 416 has it"),
    (r"ranges", r"^GET ", r"^tcode ErrRangeNotSatisfiable, not None", BETTER + ": every 416"),
    (r"ranges", r"^GET ", r"^status 416, not (0|206)", "reference bug: `bytes=`, `bytes=-0`"),
    (r"checksums", r"^PUT ", r"^status 400, not (500|0)", "reference bug: the client is wrong"),
    (r"archive", r"^GET .*archpath=", r"^status 206, not 400", BETTER + ": ranges of members"),
    (r"list-objects", r"\"flags\": \"abc\"", r"^error ", "one form for every error"),
    (r"buckets|list-objects", r"summary-bck", r"^Content-Type: application/json",
     "JSON is labelled as JSON; no client looks"),
    (r"cluster", r"GET /v1/buckets/ .*summary-bck", r"^status 400, not 500",
     "asking about nothing is no failure of the server"),
    (r"cluster", r"provider= ", r"NoneType", "an empty list is [], not null: the SDK needs it"),
    (r".*", r"what=status|GET /v1/(download|sort)", r"^Content-Type: application/json",
     "JSON is labelled as JSON; no client looks"),
    (r"jobs", r"what=qryxstats .*nonsense", r"^status 400, not 200", "reference bug: everything"),
    (r"jobs", r"what=qryxstats .*nope", r"^tcode ErrBckNotFound", BETTER + ": says what misses"),
    (r".*", r"what=qryxstats", r"ctlmsg$", "free text, left out when there is nothing to say"),
    (r"multi-object", r"/multi-to\?", r"^entry |^\d+ entries",
     "reference bug: a later request's `prepend` and `dry_run` are not looked at"),
    (r"multi-object", r"/multi\?.*\"flags\":\"17\"", r"^0 entries, not 2",
     "objects were put in between, which is not in the recording"),
    (r"multipart", r"mpt-upload", r"^body ", "the id of an upload"),
    (r"multipart", r"partNumber=(0|100000)", r"^status 400, not 500",
     "a part number out of range is the client's mistake"),
    (r"multipart", r"part without a length", r"^status 200, not 400",
     "a part without a length is taken (contract, section 11)"),
    (r"multipart", r"mpt-complete", r"^status 200, not 404",
     "reference bug: after a refused completion the right one fails"),
    (r"multipart", r"mpt-abort", r"^(tcode ErrNotFound, not wrapError|the SDK sees an error)",
     "an upload that is gone does not exist"),
    (r"append", r"^(GET|HEAD) ", r"^Ais-Checksum-(Type|Value)",
     "what was appended has a CRC32C, combined from the pieces'"),
    # One node.
    (r".*", r"what=|/metrics", r"verifying_key", ONE_NODE),
    (r".*", r"what=(node_stat|metrics)", r"^\.|tracker", ONE_NODE),
    (r".*", r"what=(cluster_config|config)", r"distributed_sort", ONE_NODE),
    (r"cluster", r"what=(mountpaths|disk)", r"^status 400, not 200", ONE_NODE),
    (r"cluster", r"what=sysinfo", r"fs_", ONE_NODE),
    (r"cluster|properties", r"what=(node_stat|mountpaths|sysinfo|disk)",
     r"^Content-Type: application/json.*not application/msgpack", "JSON is accepted everywhere"),
    (r".*", r"^GET /v1/health", r"^Ais-(Cluster|Node)-Uptime", ONE_NODE),
    (r"errors", r"^GET /metrics", r"^(status|Content-Type)", "belongs to another door"),
    # Refused properties.
    (r"buckets|properties|ranges", r"\"enabled\": ?true|backend_bck",
     r"^status 501, not (200|404)", REFUSED),
    (r"cluster", r"set-config\?lru\.enabled=true", r"^status 501, not 200", REFUSED),
    # Later.
    (r".*", r"make-n-copies|ec-encode|index-shard|\"archive\"|"
            r"summary-shard|"
            r"archregx|archmode|/v1/download|/v1/tokens|"
            r"/v1/ml/moss|\"action\": ?\"archive", r"^status 501, not", LATER),
    (r"archive|pytorch", r"^PUT .*archpath=", r"^status 501, not", LATER),
    (r"aisloader", r"skip_vc=true", r"^Ais-Version: 2, not 1",
     "`skip_vc` is a hint: an overwrite is the next version all the same"),
    (r"archive", r"archpath=.*s?\.?(tgz|tar\.gz|zip|lz4)|\.(tgz|tar\.gz|zip|lz4)\?",
     r"^status ", LATER + " (formats other than TAR)"),
    # What comes of those.
    (r".*", r"what=(qryxstats|status) .*\"(ID|id)\": ?\"\w", r"^status 404, not 200", AFTER_LATER),
    (r"buckets", r"HEAD /v1/buckets/copy\?", r"^(status 404, not 200|Ais-Bucket-Props)",
     "a bucket that was renamed is gone at once"),
    (r"objects-put-get-head", r"\"promote\"|\"prom\"", r"^(status 404|0 entries)",
     "the recording's machine had the files"),
    (r"objects-put-get-head", r"other/one.txt", r"^Ais-Version: 1, not 3",
     "a copy's versions begin anew (contract, section 7.5)"),
    (r"objects-put-get-head", r"one.txt", r"^Ais-Version: 4, not 3",
     "a copy onto itself is a version, too"),
    (r"archive", r"new.tar|out.tgz|out.tar|miss.tar|cli.tar", r"^(status 404|\d entries)",
     AFTER_LATER),
    (r"archive", r"\"s.tar\"", r"^(entry|\d+ entries)",
     "members follow their shard (contract, section 6); members of TAR alone"),
    (r"properties", r"(mirrored|coded|limited)", r"Checksum-Value|Mirror-Copies|'c': 1|not 429",
     AFTER_LATER),
    (r"properties", r"chunked/o", r"cut off|Checksum-Value|^Ais-Version",
     "the recorded request is cut off"),
]


def is_not_sent(exchange):
    """Changes that a target refused because they had not come through a gateway: here they would
    be carried out, and the recording goes on as if they had not been."""
    text = ((exchange.get("response") or {}).get("body") or {}).get("text") or ""
    return "is expected to be redirected" in text


def explains(topic, exchange, difference):
    """The number of the first rule that covers this difference, or None."""
    text = f"{exchange['method']} {exchange['path']} " \
           f"{((exchange['request'].get('body') or {}).get('text') or '')}"
    for number, (topics, request, what, _) in enumerate(RULES):
        if re.fullmatch(topics, topic) and re.search(request, text) \
                and re.search(what, difference):
            return number
    return None


def reason(number):
    return RULES[number][3]
