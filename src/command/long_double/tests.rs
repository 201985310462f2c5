use super::LongDouble;

fn shown(text: &str) -> Option<String> {
    LongDouble::parse(text.as_bytes()).map(LongDouble::to_text)
}

fn sum(one: &str, other: &str) -> Option<String> {
    let parse = |text: &str| LongDouble::parse(text.as_bytes()).unwrap();
    parse(one).plus(parse(other)).map(LongDouble::to_text)
}

#[test]
fn numbers_are_written_as_redis_writes_them() {
    for (text, expected) in [
        ("0", "0"),
        ("-0", "0"),
        ("+0.0e-99999999999999999999", "0"),
        ("3", "3"),
        ("3.0e3", "3000"),
        ("10.50", "10.5"),
        (".5", "0.5"),
        ("5.", "5"),
        ("0.1", "0.1"),
        ("-1e-20", "0"),
        ("1e-17", "0.00000000000000001"),
        // Ties: these are halves exactly.
        ("0x1p-18", "0.00000381469726562"),
        ("0x3p-18", "0.00001144409179688"),
        ("123456789012345678901234567890", "123456789012345678899921813504"),
        ("18446744073709551615", "18446744073709551615"),
        ("18446744073709551617", "18446744073709551616"),
        ("0x10", "16"),
        ("-0X.8P+3", "-4"),
        ("0xffffffffffffffff8p0", "295147905179352825856"),
        ("0xffffffffffffffff7p0", "295147905179352825840"),
        ("Infinity", "inf"),
    ] {
        assert_eq!(shown(text).as_deref(), Some(expected), "{text}");
    }
}

#[test]
fn the_limits_of_the_format_are_kept() {
    let largest = "1.18973149535723176502126385303097021e4932";
    assert_eq!(shown(largest).unwrap().len(), 4933);
    for (text, is_one) in [
        (largest, true),
        ("1.2e4932", false),
        ("1e4933", false),
        ("1e99999999999999999999", false),
        ("0x1p16383", true),
        ("0x1p16384", false),
        ("3.6451995318824746025e-4951", true),
        ("1.9e-4951", true),
        ("1.8e-4951", false),
        ("0x1p-16445", true),
        ("0x1p-16446", false),
        ("0x1.8p-16446", true),
        ("1e-99999999999999999999", false),
    ] {
        assert_eq!(shown(text).is_some(), is_one, "{text}");
    }
    assert_eq!(sum(largest, largest), None);
    assert_eq!(sum("inf", "1"), None);
    assert_eq!(sum(largest, &format!("-{largest}")).as_deref(), Some("0"));
}

#[test]
fn what_is_no_number_is_refused() {
    for text in [
        "", "-", "+-1", ".", "e1", "1e", "1e+", "0x", "0x.", "0x1p", "0xg", " 1", "1 ", "1\0",
        "nan", "nan(1)", "-NaN", "infinit", "1,5", "1_0", "1.2.3", "1e1.5", "--1",
    ] {
        assert_eq!(shown(text), None, "{text:?}");
    }
    assert!(shown(&"1".repeat(4932)).is_some());
    assert!(shown(&format!("0.{}", "1".repeat(5117))).is_some());
    assert!(shown(&format!("0.{}", "1".repeat(5118))).is_none());
}

#[test]
fn sums_are_rounded_once() {
    for (one, other, expected) in [
        ("3.0", "1.1", "4.1"),
        ("0.1", "0.2", "0.3"),
        ("10.5", "-5.0", "5.5"),
        ("5.0e3", "2.0e2", "5200"),
        ("0x1p64", "1", "18446744073709551616"),
        ("0x1p64", "0x1.8p0", "18446744073709551618"),
        ("0x1p64", "0x1.00000001p0", "18446744073709551618"),
        ("0x1p64", "-1", "18446744073709551615"),
        ("0x1p64", "-0x1p-1", "18446744073709551616"),
        ("0x1p64", "-0x1.00000001p-1", "18446744073709551615"),
        ("0x1p64", "-0x1p-4000", "18446744073709551616"),
        ("1", "-0x1p-64", "1"),
        ("1e4000", "-1e4000", "0"),
        ("-0", "0", "0"),
    ] {
        assert_eq!(sum(one, other).as_deref(), Some(expected), "{one} + {other}");
        assert_eq!(sum(other, one).as_deref(), Some(expected), "{other} + {one}");
    }
}
