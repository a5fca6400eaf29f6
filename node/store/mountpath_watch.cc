// Whether the devices of several mountpaths answer: a file that is written, synced and read. A
// device that hangs is known by the one that does not come back; calls that wait for it wait on,
// new ones are refused at once. Nothing of this is on the way of a read or a change.
#include <array>
#include <cstring>

#include "node/store/mountpath_set.h"
#include "node/store/store_impl.h"

namespace penstock::node {
namespace {

constexpr const char* probe_path = "probe";
constexpr uint32_t probes_that_count = 2;  // in a row

Status probe_disk(io::BlockingDisk& disk, uint64_t number) {
    auto file = disk.open(probe_path, io::OpenMode::write);
    if (!file && file.error().code == Errc::not_found) {
        file = disk.open(probe_path, io::OpenMode::create);
    }
    if (!file) return fail(file.error());
    std::array<std::byte, 512> bytes{};
    std::memcpy(bytes.data(), &number, sizeof number);
    TRY_STATUS((*file)->write_exactly(bytes, 0));
    TRY_STATUS((*file)->sync());
    std::array<std::byte, 512> read{};
    TRY(const size_t count, (*file)->read(read, 0));
    if (count != bytes.size() || read != bytes) {
        return fail(Errc::io_error, "a file that was just written reads as something else");
    }
    return {};
}

}  // namespace

void MountpathSet::start_watching() {
    if (is_watching_ || options_.probe_interval_ns == 0 || members_.size() < 2) return;
    Result<io::Gate::Pass> pass = background_.enter();
    if (!pass) return;
    is_watching_ = true;
    io::start_detached(watch(std::move(*pass)));
}

io::Task<void> MountpathSet::watch(io::Gate::Pass) {
    while (co_await home().sleep(home().within_ns(options_.probe_interval_ns, &cancel_)) == 0) {
        for (size_t index = 0; index < members_.size(); ++index) {
            Member& member = *members_[index];
            if (member.store != nullptr && !member.is_gone) co_await look_at(member);
        }
    }
    is_watching_ = false;
}

io::Task<void> MountpathSet::look_at(Member& member) {
    const StoreUsage usage = member.store->usage();
    const uint64_t failures = usage.log_failures - member.log_failures;
    member.log_failures = usage.log_failures;
    if (failures >= options_.log_failures_max && !member.has_failed) {
        co_await put_out(member, "its device fails");
    }
    if (member.probe_began_ns == 0) {
        Result<io::Gate::Pass> pass = background_.enter();
        if (!pass) co_return;
        member.probe_began_ns = home().now_ns();
        member.log_syncs = usage.log_syncs;
        io::start_detached(probe(std::move(*pass), member));
        co_return;
    }
    // A slow device, under load, is none that hangs.
    const bool is_syncing = usage.log_syncs > member.log_syncs;
    const bool is_late = home().now_ns() - member.probe_began_ns > options_.probe_timeout_ns;
    if (is_late && !is_syncing && !member.has_failed) {
        member.good_probes = 0;
        co_await put_out(member, "its device does not answer");
    }
    member.log_syncs = usage.log_syncs;
}

io::Task<Status> MountpathSet::probe_now(Member& member) {
    io::BlockingDisk& disk = *member.disks->blocking;
    const uint64_t number = home().now_ns();
    Status status = co_await member.disks->probe_pool->run(
        home(), [&disk, number] { return probe_disk(disk, number); });
    // There is no room for it, and that is all: the device answers.
    if (!status && status.error().code == Errc::full) status = Status();
    co_return status;
}

io::Task<void> MountpathSet::probe(io::Gate::Pass, Member& member) {
    const uint64_t began_ns = member.probe_began_ns;
    const Status status = co_await probe_now(member);
    const bool is_late = home().now_ns() - began_ns > options_.probe_timeout_ns;
    member.probe_began_ns = 0;
    if (member.is_gone) co_return;
    member.good_probes = status && !is_late ? member.good_probes + 1 : 0;
    member.bad_probes = status ? 0 : member.bad_probes + 1;
    if (member.bad_probes >= probes_that_count && !member.has_failed) {
        co_await put_out(member, status.error().context);
    }
    if (member.good_probes >= probes_that_count && member.has_failed) {
        member.has_failed = false;
        co_await put_in(member);
    }
}

io::Task<void> MountpathSet::put_out(Member& member, std::string why) {
    log_.error("a mountpath is taken out of service",
               {{"path", std::string_view(member.disks->path)}, {"reason", std::string_view(why)}});
    member.has_failed = true;
    member.good_probes = 0;
    if (member.out == nullptr) {
        member.out =
            std::make_shared<const std::string>("mountpath " + member.disks->path + ": " + why);
    }
    co_await show();
    start_reconciling();
}

io::Task<void> MountpathSet::put_in(Member& member) {
    if (entry_of(member).is_disabled) co_return;
    log_.info("a mountpath is back in service", {{"path", std::string_view(member.disks->path)}});
    member.out = nullptr;
    co_await show();
    start_reconciling();
    start_cleaning();
}

void MountpathSet::start_reconciling() {
    Result<io::Gate::Pass> pass = background_.enter();
    if (pass) io::start_detached(reconcile(std::move(*pass)));
}

// The registry and the metadata, as far as those that are in service have missed something.
io::Task<void> MountpathSet::reconcile(io::Gate::Pass) {
    co_await changing_.acquire();
    Status reconciled;
    if (!cancel_.is_cancelled()) reconciled = co_await write_registries();
    if (reconciled && !cancel_.is_cancelled()) reconciled = co_await place_metadata();
    changing_.release();
    if (reconciled) co_return;
    log_.warning("what a node knows of itself was not written to all mountpaths in service",
                 {{"reason", std::string_view(reconciled.error().context)}});
}

}  // namespace penstock::node
