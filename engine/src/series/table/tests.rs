use super::*;

fn series(id: &str) -> Series {
    Series::new(SourceKey::local("t", id))
}

fn node(address: &str) -> Arc<str> {
    address.into()
}

#[test]
fn equal_series_get_one_number_and_the_cap_holds() {
    let table = SeriesTable::new(2);
    let a = series("a").with_unit("celsius");
    let id = table.intern(&a).unwrap();
    assert_eq!(table.intern(&a.clone()), Ok(id));
    assert_eq!(table.get(id).unit.as_deref(), Some("°C"));
    table.intern(&series("a")).unwrap();
    assert_eq!(table.intern(&series("b")), Err(TooManySeries { cap: 2 }));
    assert_eq!(table.intern(&a), Ok(id), "known series still pass");
    assert_eq!(table.lacking_since(0), Lacking { host: true, nodes: vec![] });
    assert_eq!(table.lacking_since(table.refused()), Lacking::default());
}

#[test]
fn a_slot_given_back_is_another_series_slot_and_a_number_no_other_series_number() {
    let table = SeriesTable::new(2);
    let [a, b] = ["a", "b"].map(|id| table.intern(&series(id)).unwrap());
    let before = table.generation();
    assert_eq!(table.retire(&[a, a]), 1);
    assert_ne!(table.generation(), before);
    assert_eq!((table.len(), table.given_back(), table.is_live(a)), (1, 1, false));
    assert_eq!(table.find(&series("a")), None);
    assert_eq!(*table.get(a), series("a"), "what is on its way to a sink has its name");
    let c = table.intern(&series("c")).unwrap();
    assert!(c != a && c != b, "numbers are not used twice");
    assert_eq!(table.intern(&series("a")), Err(TooManySeries { cap: 2 }));
    table.retire(&[b]);
    let again = table.intern(&series("a")).unwrap();
    assert_ne!(again, a);
    assert_eq!((table.current(a), table.current(b)), (Some(again), None));
    assert_eq!(table.all(), [Arc::new(series("c")), Arc::new(series("a"))]);
}

#[test]
fn a_node_has_a_cap_of_its_own_and_what_it_gave_back_does_not_count() {
    let (table, hostile, other) = (SeriesTable::new(100), node("p/hostile"), node("p/other"));
    let give = |id: &str| table.intern_given(&series(id), &hostile, 3);
    let ids: Vec<_> = ["a", "b", "c"].iter().map(|id| give(id).unwrap().0).collect();
    assert_eq!(give("d"), Err(TooManySeries { cap: 3 }));
    assert_eq!(give("a"), Ok((ids[0], None)), "known series still pass");
    assert!(table.intern_given(&series("e"), &other, 3).is_ok());
    assert_eq!(table.lacking_since(0), Lacking { host: false, nodes: vec![hostile.clone()] });
    assert_eq!((table.at_cap(3), table.given_by(&other)), (vec![hostile.clone()], 1));
    table.retire(&ids[1..2]);
    assert_eq!(table.given_by(&hostile), 2);
    give("d").unwrap();
    // As after a restart: what a checkpoint knows of it counts before it speaks.
    let table = SeriesTable::new(100);
    for id in ["a", "b", "c"] {
        table.enter(table.name(&series(id)).unwrap(), &hostile);
    }
    let refused = table.intern_given(&series("d"), &hostile, 3);
    assert_eq!(refused, Err(TooManySeries { cap: 3 }));
}

#[test]
fn a_series_of_two_nodes_keeps_its_slot_until_one_is_gone() {
    let table = SeriesTable::new(10);
    let (one, other) = (node("p/one"), node("p/other"));
    let (id, alone) = table.intern_given(&series("a"), &one, 10).unwrap();
    assert_eq!(alone, None);
    assert_eq!(table.intern_given(&series("a"), &other, 10), Ok((id, Some(one.clone()))));
    assert_eq!((table.collisions(), table.retire(&[id]), table.is_live(id)), (1, 0, true));
    let everyone = Lacking { host: true, nodes: vec![] };
    let mut silent = vec![id];
    table.can_retire(&mut silent, &everyone, &[one.clone(), other.clone()]);
    assert_eq!(silent, []);
    table.forget_giver(&one);
    let mut silent = vec![id];
    table.can_retire(&mut silent, &everyone, &[other]);
    assert_eq!((silent, table.retire(&[id])), (vec![id], 1));
}

#[test]
fn only_those_who_lack_room_give_back_and_only_what_is_theirs() {
    let table = SeriesTable::new(10);
    let (one, other) = (node("p/one"), node("p/other"));
    let mine = table.intern_given(&series("mine"), &one, 10).unwrap().0;
    let theirs = table.intern_given(&series("theirs"), &other, 10).unwrap().0;
    let can = |lacking: &Lacking, sources: &[Arc<str>]| {
        let mut silent = vec![mine, theirs];
        table.can_retire(&mut silent, lacking, sources);
        silent
    };
    let host = Lacking { host: true, nodes: vec![] };
    let lacks = |node: &Arc<str>| Lacking { host: false, nodes: vec![node.clone()] };
    let both = [one.clone(), other.clone()];
    assert_eq!(can(&host, &both), [mine, theirs]);
    assert_eq!(can(&host, &both[..1]), [mine], "of another part");
    assert_eq!(can(&lacks(&one), &both), [mine]);
    assert_eq!(can(&lacks(&other), &both[..1]), []);
}

#[test]
fn what_is_only_named_takes_no_slot_until_it_enters() {
    let table = SeriesTable::new(1);
    let address = node("p/a");
    table.intern(&series("live")).unwrap();
    let named = table.name(&series("a")).unwrap();
    assert_eq!(table.name(&series("a")), Some(named), "one number for one name");
    assert_eq!((table.len(), table.find(&series("a"))), (1, None));
    assert_eq!(*table.get(named), series("a"));
    assert_eq!(table.intern(&series("a")), Err(TooManySeries { cap: 1 }));
    assert_eq!(table.enter(named, &address), named, "it had been let in");
    assert_eq!((table.len(), table.find(&series("a"))), (2, Some(named)));
    table.retire(&[named]);
    let again = table.enter(named, &address);
    assert!(again != named && table.is_live(again));
    assert_eq!(table.enter(named, &address), again);
}

#[test]
fn names_are_forgotten_when_there_are_far_too_many_of_them() {
    let table = SeriesTable::new(10);
    let first = table.intern(&series("first")).unwrap();
    table.retire(&[first]);
    let named = table.name(&series("named")).unwrap();
    let mut known = 0;
    for number in 0..100_000 {
        let id = table.intern(&series(&number.to_string())).unwrap();
        table.retire(&[id]);
        known = known.max(table.names());
    }
    assert!((PAST_MIN..PAST_MIN * 5 / 4 + 12).contains(&known), "{known}");
    assert_eq!(*table.get(first), Series::new(SourceKey::parse("gone")));
    assert_eq!(*table.get(named), Series::new(SourceKey::parse("gone")));
    assert_ne!(table.name(&series("named")), Some(named), "it is not found by its name either");
    assert_eq!((table.len(), table.given_back()), (0, 100_001));
    assert!(table.read().entries.pages() <= PAST_MIN * 5 / 4 / 32 + 2);
    let gone = table.enter(first, &node("p/a"));
    assert_eq!(table.get(gone).source.name(), "gone:");
}

#[test]
fn a_series_that_came_back_does_not_lose_its_name_for_its_earlier_end() {
    let table = SeriesTable::new(10);
    let named = table.name(&series("named")).unwrap();
    table.enter(named, &node("p/a"));
    for number in 0..PAST_MIN * 2 {
        let id = table.intern(&series(&number.to_string())).unwrap();
        table.retire(&[id]);
    }
    assert_eq!((table.is_live(named), &*table.get(named)), (true, &series("named")));
}

#[test]
fn a_map_keeps_what_is_live() {
    let table = SeriesTable::new(10);
    let ids: Vec<_> =
        (0..3).map(|number| table.intern(&series(&number.to_string())).unwrap()).collect();
    let mut map = SeriesMap::new();
    for id in &ids {
        map.insert(*id, ());
    }
    let mut generation = table.generation();
    table.retire(&ids[1..2]);
    table.keep_live(&mut map, &mut generation);
    assert_eq!(generation, table.generation());
    assert_eq!(map.iter().map(|(id, ())| id).collect::<Vec<_>>(), [ids[0], ids[2]]);
}
