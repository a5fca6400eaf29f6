// fsck: every byte of every object is read from the device and checked. Opening the directory has
// repaired already what a crash may leave (the log's torn tail, the catalogue, a copy of the
// metadata); what it found damaged there is counted.
#include <fmt/format.h>

#include "node/offline/entry_text.h"
#include "node/offline/session.h"

namespace penstock::node {
namespace {

constexpr uint64_t in_flight_bytes_max = 64 << 20;

class Check {
public:
    Check(Session& session, bool removes_damaged)
        : session_(session),
          removes_damaged_(removes_damaged),
          flights_(session.reactor(), session.in_flight_max(), in_flight_bytes_max) {}

    io::Task<Status> run() {
        // Counted before this: what is found from now on has a name.
        found_at_open_ = session_.service().usage().corruptions;
        const Status walked = co_await walk_objects(
            session_, {}, [this](const std::shared_ptr<const Bucket>& bucket, ListPage page) {
                return visit(bucket, std::move(page));
            });
        co_await flights_.settle();
        CO_TRY_STATUS(walked);
        CO_TRY_STATUS(flights_.status());
        if (found_at_open_ > 0) {
            session_.problem("log/", fmt::format("{} damaged places were found when the directory "
                                                 "was opened; what they held is kept and answers "
                                                 "an error",
                                                 found_at_open_));
        }
        co_return Status();
    }

private:
    io::Task<Status> visit(std::shared_ptr<const Bucket> bucket, ListPage page) {
        for (const ListPage::Entry& entry : page.entries) {
            CO_TRY_STATUS(flights_.status());
            co_await flights_.take_off(1 << 20);
            io::start_detached(check(bucket, std::string(page.name(entry)), entry.size_bytes));
        }
        co_return Status();
    }

    io::Task<void> check(std::shared_ptr<const Bucket> bucket, std::string object, uint64_t size) {
        const ObjectName name{bucket->id, bucket->name.name, object};
        const Result<uint64_t> checked = co_await session_.store().verify(Session::core, name);
        if (checked) {
            session_.done(size);
        } else if (checked.error().code == Errc::corrupt) {
            co_await report(*bucket, name, checked.error());
        } else {
            flights_.fail_with(checked.error());
        }
        flights_.land(1 << 20);
    }

    io::Task<void> report(const Bucket& bucket, ObjectName name, const Error& error) {
        std::string action = "kept: reading it answers an error";
        if (removes_damaged_) {
            const Result<Version> removed =
                co_await session_.store().remove(Session::core, name, {}, Durability::group);
            if (removed) session_.summary().removed += 1;
            action = removed ? "removed" : "cannot be removed: " + removed.error().context;
        }
        session_.problem(bucket_path(bucket.name) + "/" + std::string(name.object),
                         error.context + "; " + action);
    }

    Session& session_;
    bool removes_damaged_;
    Flights flights_;
    uint64_t found_at_open_ = 0;
};

}  // namespace
}  // namespace penstock::node

namespace penstock {

Result<OfflineSummary> fsck(const OfflineOptions& options, bool removes_damaged) {
    TRY(const std::unique_ptr<node::Session> session, node::Session::open(options, true));
    node::Check check(*session, removes_damaged);
    return session->run([&check] { return check.run(); });
}

}  // namespace penstock
