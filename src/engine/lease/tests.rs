use super::*;

const LEASE: Duration = Duration::from_secs(10);

fn at(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn signs(view: u64, node: NodeId, seq: u64) -> Signs {
    Signs { view, newest: (node, seq) }
}

#[test]
fn a_lease_is_counted_from_when_the_acknowledged_group_was_sent() {
    let mut lease = Lease::begin(LEASE, at(1_000));
    lease.sent(at(4_000));
    assert!(lease.holds(at(10_499)) && !lease.holds(at(10_500)));
    // The answer takes long: that is no gain.
    lease.acknowledged(at(4_000));
    assert!(lease.holds(at(13_499)) && !lease.holds(at(13_500)));
    // An older one that comes later takes nothing back.
    lease.acknowledged(at(2_000));
    assert!(lease.holds(at(13_499)));
    assert_eq!(lease.silent_for(at(9_000)), at(5_000));
}

#[test]
fn a_sign_of_life_goes_out_each_third_of_a_lease() {
    let mut lease = Lease::begin(LEASE, at(0));
    let (mut now, mut last) = (at(0), at(0));
    while now < at(100_000) {
        if lease.sign_is_due(now) {
            lease.sent(now);
            last = now;
        }
        now += Lease::look_every(LEASE);
        assert!(now - last <= LEASE / 3, "{now:?} {last:?}");
    }
    assert!(last > at(90_000));
}

#[test]
fn silence_is_a_whole_lease_between_two_looks() {
    let mut watch = Watch::begin(LEASE, signs(1, 1, 5), at(100));
    assert_eq!(watch.look(signs(1, 1, 5), at(10_099), at(10_200)), Verdict::Wait);
    assert_eq!(watch.look(signs(1, 1, 5), at(10_100), at(10_200)), Verdict::Silent);
}

#[test]
fn a_late_group_of_a_dead_owner_only_makes_the_watch_longer() {
    let mut watch = Watch::begin(LEASE, signs(1, 1, 5), at(0));
    assert_eq!(watch.look(signs(1, 1, 6), at(9_000), at(9_010)), Verdict::Wait);
    assert_eq!(watch.look(signs(1, 1, 6), at(19_009), at(19_011)), Verdict::Wait);
    assert_eq!(watch.look(signs(1, 1, 6), at(19_010), at(19_011)), Verdict::Silent);
}

#[test]
fn who_shows_two_signs_is_alive() {
    for second in [signs(1, 1, 7), signs(2, 1, 6), signs(1, 2, 1)] {
        let mut watch = Watch::begin(LEASE, signs(1, 1, 5), at(0));
        assert_eq!(watch.look(signs(1, 1, 6), at(10), at(11)), Verdict::Wait);
        assert_eq!(watch.look(second, at(20), at(21)), Verdict::Alive);
    }
}

#[test]
fn a_group_that_nobody_saw_in_time_makes_the_start_wait_for_another_lease() {
    let mut watch = Watch::begin(LEASE, signs(1, 1, 5), at(0));
    assert_eq!(watch.look(signs(1, 1, 5), at(10_000), at(10_010)), Verdict::Silent);
    assert_eq!(watch.may_serve_at(true, at(10_050)), at(10_000));
    assert_eq!(watch.may_serve_at(false, at(10_050)), at(20_050));
}
