// The whole store against a map in memory, by RapidCheck: any sequence of changes, reads, listings
// and compaction, with restarts, lost processes and power cuts between them and in the middle of
// them. A sequence that fails is shrunk to the shortest that does, and printed.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cstdlib>
#include <ostream>
#include <set>

#include "tests/node/store/store_harness.h"

namespace penstock::node {
namespace {

enum class Kind : uint8_t {
    put,
    put_large,
    put_if_absent,
    remove,
    set_custom,
    adopt,
    get,
    list,
    compact,
    stop_and_start,
    lose_process,
    cut_power,
};
constexpr const char* kind_names[] = {"put",        "put_large",      "put_if_absent", "remove",
                                      "set_custom", "adopt",          "get",           "list",
                                      "compact",    "stop_and_start", "lose_process",  "cut_power"};

// `power_off_at`: the power goes at this changing call of the step, if it makes so many; 0: it does
// not go.
struct Step {
    Kind kind = Kind::get;
    uint8_t name = 0;
    uint16_t size = 0;
    uint8_t power_off_at = 0;
};

std::ostream& operator<<(std::ostream& out, const Step& step) {
    out << kind_names[size_t(step.kind)] << "(" << int(step.name) << ", " << step.size << ")";
    if (step.power_off_at > 0) out << " with the power off at call " << int(step.power_off_at);
    return out;
}

// Runs one sequence. What does not hold is a failure of RapidCheck's, which shrinks it.
class Model {
public:
    explicit Model(TestLoop& loop, uint64_t seed) : loop_(loop), random_(seed) { open(); }

    void run(const Step& step) {
        const bool has_cut = step.power_off_at > 0 && is_changing(step.kind);
        if (has_cut) storage_.power_off_at(storage_.call_count() + step.power_off_at - 1U);
        const std::string name = "n" + std::to_string(step.name % 6);
        is_cut_ = has_cut;
        act(step, name);
        if (has_cut) restart(storage_.crash(random_));
        is_cut_ = false;
    }

    void check_all() {
        for (const auto& [name, values] : model_) read(name);
        list();
    }

private:
    using Value = std::optional<std::string>;

    static bool is_changing(Kind kind) { return kind <= Kind::adopt || kind == Kind::compact; }

    void open() {
        harness_ = std::make_unique<StoreHarness>(loop_, storage_);
        StoreOptions& options = harness_->options();
        options.segment_bytes = 96 << 10;
        options.small_object_bytes_max = 8 << 10;
        options.aligned_payload_bytes_min = 4 << 10;
        options.reserve_bytes = 4096;
        options.is_compacting = random_.chance(1, 2);
        if (random_.chance(1, 2)) options.catalogue_cache_bytes = 1 << 20;
        const Status opened = harness_->open();
        RC_ASSERT(opened.has_value());
    }
    void restart(io::MemoryStorage left) {
        harness_->stop();
        harness_.reset();
        storage_ = std::move(left);
        open();
    }

    void act(const Step& step, const std::string& name) {
        switch (step.kind) {
            case Kind::put:
            case Kind::put_large:
                put(name,
                    step.kind == Kind::put ? step.size % 9000U : 20'000U + step.size % 40'000U);
                break;
            case Kind::put_if_absent:
                put_if_absent(name, step.size % 5000U);
                break;
            case Kind::remove:
                decide(name, std::nullopt, harness_->remove(name), Errc::not_found);
                break;
            case Kind::set_custom: {
                const auto changed = harness_->set_custom(name, {{"k", "v"}});
                settle_existence(name, changed);
                break;
            }
            case Kind::adopt:
                adopt(name, step.size);
                break;
            case Kind::get:
                read(name);
                break;
            case Kind::list:
                list();
                break;
            case Kind::compact: {
                const auto freed = harness_->compact();
                RC_ASSERT(is_cut_ || freed.has_value());
                break;
            }
            case Kind::stop_and_start:
                harness_->stop();
                harness_.reset();
                open();
                break;
            case Kind::lose_process:
                restart(storage_.crash_keeping_all());
                break;
            case Kind::cut_power:
                restart(storage_.crash(random_));
                break;
        }
    }

    // What a name may hold: one value, but for one whose change was cut off.
    std::set<Value>& values(const std::string& name) {
        std::set<Value>& found = model_[name];
        if (found.empty()) found.insert(std::nullopt);
        return found;
    }

    // What an outcome tells of a name that may or may not be there.
    template <typename T>
    void settle_existence(const std::string& name, const Result<T>& outcome) {
        std::set<Value>& known = values(name);
        if (outcome) {
            known.erase(std::nullopt);
            RC_ASSERT(!known.empty());
        } else if (!is_cut_) {
            RC_ASSERT(outcome.error().code == Errc::not_found);
            RC_ASSERT(known.contains(std::nullopt));
            known = {std::nullopt};
        }
    }
    // A change that was acknowledged counts; one that failed because the power went may.
    template <typename T>
    void decide(const std::string& name, Value value, const T& outcome,
                std::optional<Errc> refusal = std::nullopt) {
        std::set<Value>& known = values(name);
        if (outcome) {
            known = {std::move(value)};
        } else if (is_cut_) {
            known.insert(std::move(value));
        } else {
            RC_ASSERT(outcome.error().code == refusal);
            RC_ASSERT(known.contains(std::nullopt));
            known = {std::nullopt};
        }
    }
    void put(const std::string& name, size_t size) {
        const std::string content = content_of(random_.next(), size);
        decide(name, content, harness_->put(name, content));
    }
    void put_if_absent(const std::string& name, size_t size) {
        const std::string content = content_of(random_.next(), size);
        PutOptions options;
        options.condition.kind = Condition::Kind::absent;
        const auto done = harness_->put(name, content, std::move(options));
        if (!done && done.error().code == Errc::condition_failed) {
            settle_existence(name, Result<int>(0));
            return;
        }
        decide(name, content, done);
    }
    void adopt(const std::string& name, size_t size) {
        const std::string content = content_of(random_.next(), size + 1);
        const std::string path = "foreign" + std::to_string(++foreign_count_);
        const auto file = harness_->disk().blocking().open(path, io::OpenMode::create);
        if (!file || !(*file)->write_exactly(as_bytes(content), 0)) {
            RC_ASSERT(is_cut_);
            return;
        }
        decide(name, content,
               harness_->run(
                   harness_->store().adopt(0, StoreHarness::name(name), "/" + path, PutOptions())));
    }

    // What a read finds is what the name holds from now on.
    void read(const std::string& name) {
        const auto got = harness_->get(name);
        RC_ASSERT(got.has_value() || got.error().code == Errc::not_found);
        const Value found = got ? Value(*got) : std::nullopt;
        RC_ASSERT(values(name).contains(found));
        values(name) = {found};
    }
    void list() {
        const auto listed = harness_->list();
        RC_ASSERT(listed.has_value());
        const std::set<std::string> names(listed->begin(), listed->end());
        RC_ASSERT(names.size() == listed->size());
        for (const auto& [name, known] : model_) {
            if (known.size() == 1) RC_ASSERT(names.contains(name) == known.begin()->has_value());
        }
        for (const std::string& name : names) RC_ASSERT(model_.contains(name));
    }

    TestLoop& loop_;
    Random random_;
    io::MemoryStorage storage_;
    std::unique_ptr<StoreHarness> harness_;
    std::map<std::string, std::set<Value>> model_;
    uint64_t foreign_count_ = 0;
    bool is_cut_ = false;  // the power may go during this step
};

}  // namespace
}  // namespace penstock::node

namespace rc {

template <>
struct Arbitrary<penstock::node::Step> {
    static Gen<penstock::node::Step> arbitrary() {
        using penstock::node::Step;
        const auto kind = gen::map(gen::inRange(0, 24), [](int number) {
            // Puts and removals more often than the rest.
            constexpr int puts[] = {0, 0, 0, 0, 1, 1, 2, 3, 3, 4, 5, 8};
            return static_cast<penstock::node::Kind>(number < 12 ? number : puts[number - 12]);
        });
        const auto power = gen::map(gen::inRange(0, 60), [](int number) {
            return static_cast<uint8_t>(number < 45 ? 0 : number - 44);
        });
        return gen::build<Step>(gen::set(&Step::kind, kind), gen::set(&Step::name),
                                gen::set(&Step::size), gen::set(&Step::power_off_at, power));
    }
};

}  // namespace rc

namespace penstock::node {
namespace {

TEST(StoreProperty, IsAMapThatOutlivesRestartsAndPowerCuts) {
    const bool is_deep = std::getenv("PENSTOCK_DEEP") != nullptr;
    // RC_PARAMS of the environment wins: it is how a failure is run again.
    setenv("RC_PARAMS", is_deep ? "max_success=20000 max_size=200" : "max_success=500 max_size=100",
           0);
    TestLoop loop;
    const bool holds =
        rc::check("the store is a map", [&loop](const std::vector<Step>& steps, uint64_t seed) {
            Model model(loop, seed);
            for (const Step& step : steps) model.run(step);
            model.check_all();
        });
    EXPECT_TRUE(holds);
}

}  // namespace
}  // namespace penstock::node
