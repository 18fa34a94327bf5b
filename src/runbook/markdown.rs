//! Markdown to HTML that can do no harm: what is written as HTML is shown as text, a link leads to http, https or a place of our own,
//! and nothing is fetched from elsewhere.

use std::collections::BTreeMap;

use pulldown_cmark::{CowStr, Event, HeadingLevel, LinkType, Options, Parser, Tag, TagEnd, html};

/// No page is larger as HTML.
const MOST_BYTES: usize = 4 << 20;
/// A page is made of no more pieces.
const MOST_EVENTS: usize = 200_000;

/// A page that was rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Article {
    /// What stands between `<article>` and its end.
    pub html: String,
    /// The headings in their order.
    pub headings: Vec<Heading>,
}

/// One heading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heading {
    /// 1 to 6.
    pub level: u8,
    /// Its text.
    pub text: String,
    /// Its `id` in the HTML: unique on the page.
    pub id: String,
}

/// The page would be larger than is kept.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the page becomes larger than {} KiB as HTML: make its tables and lists smaller", MOST_BYTES >> 10)]
pub struct TooLarge;

/// Renders Markdown (CommonMark with tables).
pub fn render(text: &str) -> Result<Article, TooLarge> {
    let mut safe = Safe::default();
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        safe.take(event);
        if safe.events.len() > MOST_EVENTS {
            return Err(TooLarge);
        }
    }
    let mut html = String::with_capacity(text.len() * 2);
    html::push_html(&mut html, safe.events.into_iter());
    if html.len() > MOST_BYTES {
        return Err(TooLarge);
    }
    Ok(Article { html, headings: safe.headings })
}

/// The events that are let through.
#[derive(Default)]
struct Safe<'a> {
    events: Vec<Event<'a>>,
    headings: Vec<Heading>,
    /// How often an id was wanted.
    ids: BTreeMap<String, usize>,
    /// Where in `events` the heading begins that we are in, and its text so far.
    heading: Option<(usize, String)>,
    /// For each link that we are in, whether it is one.
    links: Vec<bool>,
}

impl<'a> Safe<'a> {
    fn take(&mut self, event: Event<'a>) {
        let event = match event {
            Event::Html(text) | Event::InlineHtml(text) => Event::Text(text),
            Event::Start(Tag::HtmlBlock) => Event::Start(Tag::Paragraph),
            Event::End(TagEnd::HtmlBlock) => Event::End(TagEnd::Paragraph),
            // An image would be fetched; its description is text.
            Event::Start(Tag::Image { .. }) | Event::End(TagEnd::Image) => return,
            Event::Start(Tag::Link { link_type, ref dest_url, .. }) => {
                let kept = link_type != LinkType::Email && is_safe(dest_url);
                self.links.push(kept);
                if !kept {
                    return;
                }
                event
            }
            Event::End(TagEnd::Link) if self.links.pop() == Some(false) => return,
            Event::Start(Tag::Heading { .. }) => {
                self.heading = Some((self.events.len(), String::new()));
                event
            }
            Event::End(TagEnd::Heading(level)) => {
                self.name_heading(level);
                event
            }
            other => other,
        };
        if let (Some((_, heading)), Event::Text(text) | Event::Code(text)) = (&mut self.heading, &event) {
            heading.push_str(text);
        }
        self.events.push(event);
    }

    /// The heading that ends here gets an id.
    fn name_heading(&mut self, level: HeadingLevel) {
        let Some((start, text)) = self.heading.take() else { return };
        let wanted = slug(&text);
        let times = self.ids.entry(wanted.clone()).and_modify(|times| *times += 1).or_insert(1);
        // No slug ends in two dashes and a number.
        let name = if *times == 1 { wanted } else { format!("{wanted}--{times}") };
        if let Some(Event::Start(Tag::Heading { id, .. })) = self.events.get_mut(start) {
            *id = Some(CowStr::from(name.clone()));
        }
        self.headings.push(Heading { level: level as u8, text, id: name });
    }
}

/// Letters and digits in lower case, and one dash for what stands between them.
fn slug(text: &str) -> String {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let slug = words.map(str::to_lowercase).collect::<Vec<_>>().join("-");
    if slug.is_empty() { "section".to_owned() } else { slug }
}

/// Whether a link leads to http, https, or a place without a scheme, which is our own.
fn is_safe(url: &str) -> bool {
    let before = |end| url.split_once(end).map(|(before, _)| before);
    match before(':') {
        Some(scheme) if !scheme.contains(['/', '?', '#']) => {
            scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn html(text: &str) -> String {
        render(text).unwrap().html
    }

    #[test]
    fn what_people_write_is_rendered() {
        let page = html(
            "# A\n\n## First 60 seconds\n\n`SELECT 1` *now*\n\n```sql\nSELECT a < b\n```\n\n|a|b|\n|-|-|\n|1|2|\n",
        );
        for part in [
            "<h1 id=\"a\">A</h1>",
            "<h2 id=\"first-60-seconds\">First 60 seconds</h2>",
            "<code>SELECT 1</code> <em>now</em>",
            "<pre><code class=\"language-sql\">SELECT a &lt; b\n</code></pre>",
            "<td>1</td><td>2</td>",
        ] {
            assert!(page.contains(part), "{part} in\n{page}");
        }
    }

    #[test]
    fn html_is_shown_and_not_done() {
        for text in [
            "<script>alert(1)</script>",
            "a <script>alert(1)</script> b",
            "<img src=x onerror=alert(1)>",
            "<details>\n<summary>x</summary>\n\n**b**\n\n</details>",
            "<svg/onload=alert(1)>",
            "<!-- x --><iframe src=//evil.example></iframe>",
            "|a|\n|-|\n|<b onclick=x>|\n",
            "# <script>x</script>\n",
            "[<img src=x>](/a)",
            "```<script>\nx\n```",
            "```a\" onclick=\"x\nx\n```",
            "![<script>x</script>](https://evil.example/x.png \"<script>\")",
        ] {
            let page = html(text);
            for bad in ["<script", "<img", "<svg", "<iframe", "<details", "<b ", "onclick=\"", "evil.example/x.png"] {
                assert!(!page.contains(bad), "{bad} of {text} in\n{page}");
            }
        }
        assert_eq!(html("<script>alert(1)</script>"), "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>\n");
    }

    #[test]
    fn links_lead_to_the_web_and_to_our_own_pages() {
        for url in [
            "https://a.example/x",
            "http://a",
            "HTTPS://a",
            "PostgresX",
            "../x",
            "#meaning",
            "/runbooks/",
            "a?b=c:d",
            "//a",
        ] {
            assert!(html(&format!("[x]({url})")).contains("<a href="), "{url}");
        }
        for url in [
            "javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            "java&#9;script:alert(1)",
            "javascript&colon;alert(1)",
            "&#x6A;avascript:alert(1)",
            "<javascript:alert(1)//>",
            "<\u{1}javascript:alert(1)>",
            "data:text/html,x",
            "vbscript:x",
            "file:///etc/passwd",
            "mailto:a@b.example",
        ] {
            let page = html(&format!("[x]({url})"));
            assert!(!page.contains("<a"), "{url} in {page}");
        }
        for text in
            ["<javascript:alert(1)>", "<a@b.example>", "[x][y]\n\n[y]: javascript:alert(1)", "[x][y]\n\n[y]: data:x"]
        {
            let page = html(text);
            assert!(!page.contains("<a") && page.contains('x') | page.contains('a'), "{text} in {page}");
        }
        assert_eq!(html("[a [b](javascript:x) c](/d)").matches("<a").count(), 0, "links do not nest");
        assert_eq!(html("[a](javascript:x) [b](/c)"), "<p>a <a href=\"/c\">b</a></p>\n");
    }

    #[test]
    fn headings_have_ids_of_their_own() {
        let article = render("# A `b` *c*\n## Why?\n## Why!\n### \n## Why 2\n## ÄÖ\n# why-\n").unwrap();
        let ids: Vec<_> = article.headings.iter().map(|heading| heading.id.as_str()).collect();
        assert_eq!(ids, ["a-b-c", "why", "why--2", "section", "why-2", "äö", "why--3"]);
        assert_eq!((article.headings[0].level, article.headings[0].text.as_str()), (1, "A b c"));
    }

    #[test]
    fn no_text_costs_much() {
        let most = 256 << 10;
        let cells = format!("|{}\n|{}\n{}", "a|".repeat(20_000), "-|".repeat(20_000), "|\n".repeat(60_000));
        let references = format!("[a]: /{}\n\n{}", "x".repeat(60_000), "[a] ".repeat(40_000));
        for text in [
            cells,
            references,
            "[".repeat(most),
            "![".repeat(most / 2),
            "> ".repeat(most / 2),
            "- ".repeat(most / 2),
            "*a_ ".repeat(most / 4),
            "`a``".repeat(most / 4),
            "<".repeat(most),
            "\"&".repeat(most / 2),
            "# a\n".repeat(most / 4),
            "<!--".repeat(most / 4),
            "a](".repeat(most / 3),
        ] {
            let before = std::time::Instant::now();
            let size = render(&text).map_or(0, |article| article.html.len());
            let took = before.elapsed();
            assert!(size <= MOST_BYTES && took.as_secs() < 5, "{size} bytes in {took:?} of {:?}", text.get(..20));
        }
    }
}
