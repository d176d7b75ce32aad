//! Small files of each format, written here: what is in them can be seen in the tests.

use miniz_oxide::deflate::compress_to_vec;

/// A file of an archive, as it claims to be.
pub struct Part {
    pub name: String,
    pub bytes: Vec<u8>,
    pub flags: u16,
    /// `None`: the true one.
    pub claimed: Option<u32>,
}

pub fn part(name: &str, text: &str) -> Part {
    Part { name: name.into(), bytes: text.as_bytes().to_vec(), flags: 0, claimed: None }
}

/// A zip archive (APPNOTE 4.3), deflated.
pub fn zip(parts: &[Part]) -> Vec<u8> {
    let (mut out, mut list) = (Vec::new(), Vec::new());
    for part in parts {
        let packed = compress_to_vec(&part.bytes, 6);
        let mut head = Vec::new();
        head.extend(20u16.to_le_bytes());
        head.extend(part.flags.to_le_bytes());
        head.extend(8u16.to_le_bytes());
        head.extend([0; 4]);
        head.extend(rawzip::crc32(&part.bytes).to_le_bytes());
        head.extend((packed.len() as u32).to_le_bytes());
        head.extend(part.claimed.unwrap_or(part.bytes.len() as u32).to_le_bytes());
        head.extend((part.name.len() as u16).to_le_bytes());
        head.extend(0u16.to_le_bytes());
        list.extend(b"PK\x01\x02\x14\x00");
        list.extend(&head);
        list.extend([0; 10]);
        list.extend((out.len() as u32).to_le_bytes());
        list.extend(part.name.as_bytes());
        out.extend(b"PK\x03\x04");
        out.extend(&head);
        out.extend(part.name.as_bytes());
        out.extend(packed);
    }
    let (at, count) = (out.len() as u32, (parts.len() as u16).to_le_bytes());
    out.extend(&list);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend(count);
    out.extend(count);
    out.extend((list.len() as u32).to_le_bytes());
    out.extend(at.to_le_bytes());
    out.extend([0, 0]);
    out
}

/// `(id, kind, target)` of each.
fn rels(of: &[(&str, &str, &str)]) -> String {
    let one = |(id, kind, target): &(&str, &str, &str)| {
        format!(
            r#"<Relationship Id="{id}" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/{kind}" Target="{target}"/>"#
        )
    };
    format!(
        "<?xml version=\"1.0\"?><Relationships>{}</Relationships>",
        of.iter().map(one).collect::<String>()
    )
}

pub fn docx_parts(body: &str) -> Vec<Part> {
    let styles = r#"<w:styles>
        <w:style w:styleId="Titel"><w:name w:val="Title"/></w:style>
        <w:style w:styleId="berschrift1"><w:name w:val="heading 1"/></w:style>
        <w:style w:styleId="Secret"><w:name w:val="Secret"/><w:basedOn w:val="Gone"/></w:style>
        <w:style w:styleId="Gone"><w:name w:val="Gone"/><w:rPr><w:vanish/></w:rPr></w:style></w:styles>"#;
    let paragraph = |text: &str| format!("<w:x><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:x>");
    vec![
        part("[Content_Types].xml", "<Types/>"),
        part("_rels/.rels", &rels(&[("r1", "officeDocument", "word/document.xml")])),
        part("docProps/core.xml", "<cp><dc:title>The handbook</dc:title></cp>"),
        part(
            "word/_rels/document.xml.rels",
            &rels(&[
                ("r1", "styles", "styles.xml"),
                ("r2", "footnotes", "/word/footnotes.xml"),
                ("r3", "comments", "comments.xml"),
                ("r4", "footer", "footer1.xml"),
            ]),
        ),
        part("word/styles.xml", styles),
        part("word/footnotes.xml", &paragraph("At the foot")),
        part("word/comments.xml", &paragraph("A remark")),
        part("word/footer1.xml", &paragraph("Confidential")),
        part(
            "word/document.xml",
            &format!("<?xml version=\"1.0\"?><w:document><w:body>{body}</w:body></w:document>"),
        ),
    ]
}

pub fn docx(body: &str) -> Vec<u8> {
    zip(&docx_parts(body))
}

pub fn pptx() -> Vec<u8> {
    let text = |words: &str| format!("<a:p><a:r><a:t>{words}</a:t></a:r></a:p>");
    let shape = |extra: &str, words: &str| {
        format!("<p:sp><p:nvSpPr>{extra}</p:nvSpPr><p:txBody>{}</p:txBody></p:sp>", text(words))
    };
    let cell = |words: &str| format!("<a:tc><a:txBody>{}</a:txBody></a:tc>", text(words));
    let table = format!(
        "<p:graphicFrame><a:tbl><a:tr>{}{}{}</a:tr><a:tr>{}{}{}</a:tr></a:tbl></p:graphicFrame>",
        cell("Plan"),
        cell("Price"),
        cell("Seats"),
        cell("Small"),
        cell("9 EUR"),
        cell("5")
    );
    let first = format!(
        "<p:sld><p:spTree>{}{}{}{}{table}</p:spTree></p:sld>",
        shape(r#"<p:nvPr><p:ph type="title"/></p:nvPr>"#, "Prices"),
        shape("", "What it costs"),
        shape(r#"<p:cNvPr id="9" hidden="1"/>"#, "Behind the curtain"),
        shape(r#"<p:nvPr><p:ph type="sldNum"/></p:nvPr>"#, "1"),
    );
    let slides = &rels(&[("rId7", "slide", "slides/slide2.xml"), ("rId8", "slide", "slides/slide1.xml")]);
    zip(&[
        part("_rels/.rels", &rels(&[("r1", "officeDocument", "ppt/presentation.xml")])),
        part("ppt/_rels/presentation.xml.rels", slides),
        part(
            "ppt/presentation.xml",
            r#"<p:presentation><p:sldIdLst><p:sldId id="256" r:id="rId8"/><p:sldId id="257" r:id="rId7"/></p:sldIdLst></p:presentation>"#,
        ),
        part("ppt/slides/slide1.xml", &first),
        part("ppt/slides/slide2.xml", &format!(r#"<p:sld show="0">{}</p:sld>"#, shape("", "A hidden slide"))),
        part(
            "ppt/slides/_rels/slide1.xml.rels",
            &rels(&[
                ("r1", "notesSlide", "../notesSlides/notesSlide1.xml"),
                ("r2", "comments", "../comments/comment1.xml"),
            ]),
        ),
        part(
            "ppt/notesSlides/notesSlide1.xml",
            &format!("<p:notes>{}</p:notes>", shape("", "Say it slowly")),
        ),
        part("ppt/comments/comment1.xml", "<p:cmLst><p:cm><p:text>Is this right?</p:text></p:cm></p:cmLst>"),
    ])
}

pub fn xlsx() -> Vec<u8> {
    let sheet = r#"<worksheet><cols><col min="4" max="4" hidden="1"/></cols><sheetData>
        <row r="2"><c r="B2" t="s"><v>0</v></c><c r="C2" t="inlineStr"><is><t>Since</t></is></c><c r="D2" t="s"><v>1</v></c></row>
        <row r="3"><c r="B3" t="s"><v>2</v></c><c r="C3" s="1"><v>45292</v></c><c r="D3"><v>90000</v></c></row>
        <row r="4" hidden="1"><c r="B4" t="str"><v>Mallory</v></c></row>
        <row r="5"><c r="B5" t="str"><v>Eve</v></c><c r="C5" s="1"><v>45293</v></c></row>
        <row r="9"><c r="A9"><v>1.5</v></c><c r="B9" t="b"><v>1</v></c></row></sheetData></worksheet>"#;
    let secret =
        r#"<worksheet><sheetData><row><c t="str"><v>of a hidden sheet</v></c></row></sheetData></worksheet>"#;
    zip(&[
        part(
            "xl/_rels/workbook.xml.rels",
            &rels(&[
                ("r1", "worksheet", "worksheets/sheet1.xml"),
                ("r2", "worksheet", "worksheets/sheet2.xml"),
                ("r3", "sharedStrings", "sharedStrings.xml"),
                ("r4", "styles", "styles.xml"),
            ]),
        ),
        part(
            "xl/workbook.xml",
            r#"<workbook><sheets><sheet name="People" sheetId="1" r:id="r1"/><sheet name="Old" sheetId="2" state="veryHidden" r:id="r2"/></sheets></workbook>"#,
        ),
        part(
            "xl/sharedStrings.xml",
            "<sst><si><t>Name</t></si><si><t>Salary</t></si><si><r><t>Ada </t></r><r><t>L.</t></r><rPh><t>no</t></rPh></si></sst>",
        ),
        part(
            "xl/styles.xml",
            r#"<styleSheet><numFmts><numFmt numFmtId="170" formatCode="dd.mm.yyyy"/></numFmts><cellXfs><xf numFmtId="0"/><xf numFmtId="170"/></cellXfs></styleSheet>"#,
        ),
        part("xl/worksheets/sheet1.xml", sheet),
        part("xl/worksheets/sheet2.xml", secret),
        part("xl/worksheets/_rels/sheet1.xml.rels", &rels(&[("r1", "comments", "../comments1.xml")])),
        part(
            "xl/comments1.xml",
            "<comments><comment><text><r><t>Ask </t></r><r><t>Ada</t></r></text></comment></comments>",
        ),
    ])
}

/// A PDF of pages with two fonts, a form and a picture.
pub struct Pdf {
    title: String,
    pages: Vec<String>,
    form: String,
}

impl Pdf {
    pub fn new() -> Pdf {
        Pdf { title: String::new(), pages: Vec::new(), form: String::new() }
    }

    pub fn titled(mut self, title: &str) -> Pdf {
        self.title = title.into();
        self
    }

    pub fn page(mut self, content: &str) -> Pdf {
        self.pages.push(content.into());
        self
    }

    pub fn form(mut self, content: &str) -> Pdf {
        self.form = content.into();
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        const FIRST_PAGE: usize = 9;
        let stream = |dict: &str, content: &str| {
            format!("<<{dict} /Length {}>>\nstream\n{content}\nendstream", content.len())
        };
        let kids: String = (0..self.pages.len()).map(|n| format!("{} 0 R ", FIRST_PAGE + 2 * n)).collect();
        let resources = "/Resources <</Font <</F1 3 0 R /F2 4 0 R>> /XObject <</X1 6 0 R /X2 7 0 R>>>>";
        let map = "begincodespacerange <0000> <FFFF> endcodespacerange beginbfchar <0003> <00660069> <0004> <006E> endbfchar";
        let mut objects = vec![
            "<</Type /Catalog /Pages 2 0 R>>".to_owned(),
            format!("<</Type /Pages /Count {} /MediaBox [0 0 612 792] /Kids [{kids}]>>", self.pages.len()),
            "<</Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding>>".into(),
            "<</Type /Font /Subtype /Type0 /BaseFont /A /Encoding /Identity-H /ToUnicode 5 0 R>>".into(),
            stream("", map),
            stream(&format!("/Type /XObject /Subtype /Form /BBox [0 0 612 792] {resources}"), &self.form),
            stream(
                "/Type /XObject /Subtype /Image /Width 1 /Height 1 /BitsPerComponent 8 /ColorSpace /DeviceGray",
                "x",
            ),
            format!("<</Title ({})>>", self.title),
        ];
        for (n, page) in self.pages.iter().enumerate() {
            let content = FIRST_PAGE + 2 * n + 1;
            objects.push(format!("<</Type /Page /Parent 2 0 R {resources} /Contents {content} 0 R>>"));
            objects.push(stream("", page));
        }
        let mut out = String::from("%PDF-1.7\n");
        let mut places = Vec::new();
        for (n, object) in objects.iter().enumerate() {
            places.push(out.len());
            out.push_str(&format!("{} 0 obj\n{object}\nendobj\n", n + 1));
        }
        let table = out.len();
        out.push_str(&format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1));
        places.iter().for_each(|place| out.push_str(&format!("{place:010} 00000 n \n")));
        out.push_str(&format!(
            "trailer <</Size {} /Root 1 0 R /Info 8 0 R>>\nstartxref\n{table}\n%%EOF\n",
            objects.len() + 1
        ));
        out.into_bytes()
    }
}
