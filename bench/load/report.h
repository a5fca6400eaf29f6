// What a run has shown: as a table, as the JSON of contracts/interface.md section 9, as a picture.
#pragma once

#include <optional>
#include <string>

#include "bench/load/options.h"
#include "bench/load/worker.h"

namespace penstock::bench {

struct Outcome {
    Tally tally;
    double seconds = 0;  // from the beginning to the last answer, at least the duration
    std::optional<double> server_cpu_s;
};

std::string table_of(const Options& options, const Outcome& outcome);
std::string json_of(const Options& options, const Outcome& outcome);
// Draws latency against the share of operations that took longer, with gnuplot. `unavailable` if
// there is none, `invalid` if the path ends neither in .svg nor in .png.
Status draw(const Options& options, const Outcome& outcome);

}  // namespace penstock::bench
