//! Answers of strangers, read.

use context::source::Item;
use proptest::prelude::*;

use crate::bucket::listing;
use crate::feed::entries;

const AT: &str = "https://example.org/news/feed.xml";

fn read(text: &str) -> Vec<Item> {
    entries(text.as_bytes(), AT).unwrap_or_else(|e| panic!("{e}"))
}

fn page(item: &Item) -> String {
    let content = item.content.as_ref().expect("the feed carries it");
    String::from_utf8(content.bytes.clone()).expect("text")
}

fn refused(text: &str) -> String {
    entries(text.as_bytes(), AT).expect_err("it is no feed").sentence()
}

#[test]
fn rss_is_read_with_what_it_carries() {
    let items = read(
        r#"<?xml version="1.0"?><rss version="2.0" xmlns:content="c" xmlns:atom="a"><channel>
           <title>News</title><atom:link href="https://elsewhere.example/feed" rel="self"/>
           <item><title>Ferries &amp; more</title><link>https://example.org/1</link><guid>7</guid>
             <atom:link href="https://elsewhere.example/x" rel="replies"/>
             <pubDate>Tue, 10 Jun 2003 04:00:00 GMT</pubDate>
             <description>short</description>
             <content:encoded><![CDATA[<p>The whole <b>text</b>.</p>]]></content:encoded></item>
           <item><link>/2</link><description>&lt;p&gt;Escaped.&lt;/p&gt;</description></item>
           <item><guid isPermaLink="false">urn:x:3</guid><title>Only a title</title></item>
           <item><title>Nothing to know it by</title></item>
           </channel></rss>"#,
    );
    let addresses: Vec<&str> = items.iter().map(|i| i.address.as_str()).collect();
    let id = format!("{AT}#urn:x:3");
    assert_eq!(addresses, ["https://example.org/1", "https://example.org/2", &id, ""]);
    assert_eq!(
        page(&items[0]),
        "<!doctype html><title>Ferries &amp; more</title><p>The whole <b>text</b>.</p>"
    );
    let first = items[0].content.as_ref().expect("carried");
    assert_eq!(first.title.as_deref(), Some("Ferries & more"));
    assert_eq!(first.modified.map(|at| at.day().to_string()).as_deref(), Some("2003-06-10"));
    assert_eq!(page(&items[1]), "<!doctype html><title></title><p>Escaped.</p>");
    assert_eq!(page(&items[2]), "<!doctype html><title>Only a title</title><p>Only a title");
}

#[test]
fn atom_is_read_and_its_plain_text_is_no_markup() {
    let items = read(
        r#"<feed xmlns="http://www.w3.org/2005/Atom"><title>News</title>
           <entry><title>One</title><id>urn:1</id><link rel="edit" href="https://example.org/edit"/>
             <link href="https://example.org/1"/><updated>2003-12-13T18:30:02Z</updated>
             <content type="xhtml"><div><p style="display:none">hid&lt;den</p><p onclick="x">Seen.</p></div></content></entry>
           <entry><title>Two</title><id>urn:2</id><summary>1 &lt; 2</summary></entry></feed>"#,
    );
    assert_eq!(items[0].address, "https://example.org/1");
    let whole =
        "<!doctype html><title>One</title><div><p style=\"display:none\">hid&lt;den</p><p>Seen.</p></div>";
    assert_eq!(page(&items[0]), whole, "what says whether it is seen is kept");
    assert_eq!(page(&items[1]), "<!doctype html><title>Two</title>1 &lt; 2");
    assert_eq!(items[1].address, format!("{AT}#urn:2"));
}

#[test]
fn what_is_no_feed_is_told_as_such() {
    assert!(refused("").contains("nothing in it"));
    assert!(refused("<html><body/></html>").contains("its root is <html>"));
    assert!(refused("<rss><channel><item><title>x").contains("ends inside of an element"));
    assert!(refused("<!DOCTYPE rss [<!ENTITY a \"aaaa\">]><rss/>").contains("document type"));
    assert!(refused("<rss><item><title>&lol;</title></item></rss>").contains("entity of its own"));
    let deep = format!("<rss>{}", "<a>".repeat(100));
    assert!(refused(&deep).contains("64 deep"));
    let many = format!("<rss>{}</rss>", "<item><link>/1</link></item>".repeat(10_001));
    assert!(refused(&many).contains("more than 10000 entries"));
}

#[test]
fn a_listing_is_read_with_encoded_keys_and_its_next_page() {
    let page = listing(
        br#"<ListBucketResult xmlns="s3"><Name>b</Name><Prefix>a</Prefix><EncodingType>url</EncodingType>
            <IsTruncated>true</IsTruncated><NextContinuationToken>t/+=</NextContinuationToken>
            <Contents><Key>a+b/%C3%BC%2B.md</Key><ETag>&quot;e1&quot;</ETag><Size>-5</Size>
              <Owner><ID>x</ID></Owner></Contents>
            <CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes></ListBucketResult>"#,
    );
    let page = page.unwrap_or_else(|e| panic!("{e}"));
    let keys: Vec<(&str, &str)> = page.objects.iter().map(|o| (&*o.key, &*o.tag)).collect();
    assert_eq!(keys, [("a b/ü+.md", "\"e1\"")]);
    assert_eq!(page.next.as_deref(), Some("t/+="));
    let plain = listing(b"<ListBucketResult><Contents><Key>a+b%41</Key></Contents></ListBucketResult>");
    let plain = plain.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((&*plain.objects[0].key, plain.next), ("a+b%41", None), "nobody said that it is encoded");
    for (text, why) in [
        ("<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>", "does not say how"),
        (
            "<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>%zz</Key></Contents></ListBucketResult>",
            "encoded wrongly",
        ),
        (
            "<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>%FF</Key></Contents></ListBucketResult>",
            "not UTF-8",
        ),
        ("<Error><Code>NoSuchBucket</Code></Error>", "its root is <Error>"),
    ] {
        let refused = listing(text.as_bytes()).expect_err("it is none").sentence();
        assert!(refused.contains(why), "{refused}");
    }
}

proptest! {
    /// Whatever is answered: no panic, and an address is of a line of text or told as unsound later.
    #[test]
    fn no_answer_panics(text in "(<|>|/|rss|item|entry|feed|link|title|content|Key|Contents|ListBucketResult|&amp;|&|;|\"| |href=|é|a|\\PC){0,60}") {
        crate::fuzz(text.as_bytes());
        crate::fuzz(format!("<rss><item>{text}</item></rss>").as_bytes());
        crate::fuzz(format!("<ListBucketResult><Contents>{text}</Contents></ListBucketResult>").as_bytes());
    }

    /// What a feed writes in a title is text of the page, and never markup of it.
    #[test]
    fn a_title_is_never_markup(title in "[^\u{0}-\u{1f}]{0,40}") {
        let escaped = title.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let items = read(&format!("<rss><item><link>/1</link><title>{escaped}</title></item></rss>"));
        let page = page(&items[0]);
        let inside = page.strip_prefix("<!doctype html><title>").and_then(|rest| rest.split_once("</title>"));
        prop_assert!(inside.is_some_and(|(title, _)| !title.contains('<')), "{}", page);
    }
}
