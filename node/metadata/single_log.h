// SingleLog: the metadata of a node on its own: commands go into the journal on its mountpath, in
// the order of core 0, as many as wait in one commit.
#pragma once

#include <memory>
#include <vector>

#include "io/base/log.h"
#include "io/blocking_disk.h"
#include "io/pool.h"
#include "io/reactor.h"
#include "node/metadata/journal.h"
#include "node/metadata/metadata_log.h"

namespace penstock::node {

struct SingleLogParts {
    std::vector<io::Reactor*> reactors;  // of all cores
    io::Pool* pool = nullptr;
    io::BlockingDisk* disk = nullptr;  // the mountpath's directory
};

// On core 0; what `parts` names must outlive the log. Fails as Journal::open() does.
io::Task<Result<std::unique_ptr<MetadataLog>>> open_single_log(SingleLogParts parts,
                                                               JournalOptions options,
                                                               const Log& log);

}  // namespace penstock::node
