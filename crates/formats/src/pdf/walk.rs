//! Walks over the content of a page, and notes what is written where.

use std::collections::HashMap;
use std::rc::Rc;

use context::parse::{Error, Why};
use hayro_syntax::content::{Instruction, UntypedIter};
use hayro_syntax::object::{Dict, Name, Number, Object, Rect, Stream};
use hayro_syntax::page::{Page, Resources};

use super::broken;
use super::font::Font;
use super::layout::Run;

/// Forms within each other.
const DEPTH_MAX: usize = 12;
/// Forms of one page: each may show others, so a few can mean millions.
const FORMS_MAX: usize = 5_000;
/// Painted areas of a page that are kept, to tell white on white from white on black.
const AREAS_MAX: usize = 2_000;
/// Saved states within each other.
const SAVED_MAX: usize = 512;
/// Smaller letters are not there to be read, in points.
const SIZE_MIN: f64 = 1.0;

/// `a b c d e f` of a transformation: x is `a·x + c·y + e`, y is `b·x + d·y + f`.
type Matrix = [f64; 6];
const UNIT: Matrix = [1.0, 0.0, 0.0, 1.0, 0.0, 0.0];

/// First one, then the other.
fn then(m: &Matrix, n: &Matrix) -> Matrix {
    [
        m[0] * n[0] + m[1] * n[2],
        m[0] * n[1] + m[1] * n[3],
        m[2] * n[0] + m[3] * n[2],
        m[2] * n[1] + m[3] * n[3],
        m[4] * n[0] + m[5] * n[2] + n[4],
        m[4] * n[1] + m[5] * n[3] + n[5],
    ]
}

fn at(m: &Matrix, x: f64, y: f64) -> (f64, f64) {
    (m[0] * x + m[2] * y + m[4], m[1] * x + m[3] * y + m[5])
}

/// What stands on a page.
#[derive(Default)]
pub struct Seen {
    runs: Vec<Run>,
    /// Set without ink.
    inkless: Vec<Run>,
    hidden: Vec<(Why, String)>,
    pub pictures: bool,
}

impl Seen {
    /// Text without ink over a picture is the picture's text, as scanners add it.
    fn is_scan(&self) -> bool {
        self.runs.is_empty() && self.pictures
    }

    pub fn visible(&self) -> &[Run] {
        if self.is_scan() { &self.inkless } else { &self.runs }
    }

    pub fn hidden(&self) -> Vec<(Why, String)> {
        let mut hidden = self.hidden.clone();
        if !self.is_scan() && !self.inkless.is_empty() {
            let words: Vec<&str> = self.inkless.iter().map(|run| run.text.as_str()).collect();
            hidden.push((Why::Display, words.join(" ")));
        }
        hidden
    }
}

pub struct Walk {
    fonts: HashMap<(i32, i32), Rc<Font>>,
    forms: usize,
}

#[derive(Clone)]
struct State {
    matrix: Matrix,
    font: Option<Rc<Font>>,
    size: f64,
    letter_space: f64,
    word_space: f64,
    scale: f64,
    leading: f64,
    rise: f64,
    mode: i64,
    white: bool,
}

struct Canvas<'c> {
    seen: &'c mut Seen,
    /// Left, bottom, right, top of what is shown; `None`: everything.
    shown: Option<[f64; 4]>,
    /// What was painted in another colour than white, in the page's coordinates.
    areas: Vec<[f64; 4]>,
}

impl Walk {
    pub fn new() -> Walk {
        Walk { fonts: HashMap::new(), forms: 0 }
    }

    pub fn page(&mut self, page: &Page<'_>) -> Result<Seen, Error> {
        self.forms = 0;
        let mut seen = Seen::default();
        let Rect { x0, y0, x1, y1 } = page.intersected_crop_box();
        let shown = Some([x0, y0, x1, y1]);
        let mut canvas = Canvas { seen: &mut seen, shown, areas: Vec::new() };
        if let Some(content) = page.page_stream() {
            self.content(content, Some(page.resources()), State::new(UNIT), 0, &mut canvas)?;
        }
        Ok(seen)
    }

    /// A content stream without resources.
    pub fn bare(&mut self, content: &[u8]) -> Result<Seen, Error> {
        let mut seen = Seen::default();
        let mut canvas = Canvas { seen: &mut seen, shown: None, areas: Vec::new() };
        self.content(content, None, State::new(UNIT), 0, &mut canvas)?;
        Ok(seen)
    }

    fn content(
        &mut self,
        content: &[u8],
        resources: Option<&Resources<'_>>,
        state: State,
        depth: usize,
        canvas: &mut Canvas<'_>,
    ) -> Result<(), Error> {
        let mut pen = Pen { state, saved: Vec::new(), text: UNIT, line: UNIT, path: Vec::new(), run: None };
        let mut instructions = UntypedIter::new(content);
        while let Some(instruction) = instructions.next() {
            let operator: &[u8] = instruction.operator;
            match operator {
                b"Tf" => {
                    pen.flush(canvas);
                    pen.state.size = numbers(&instruction).last().copied().unwrap_or(0.0);
                    let name = name(&instruction);
                    pen.state.font =
                        name.and_then(|name| resources?.get_font(&name)).map(|dict| self.font(&dict));
                }
                b"Do" => {
                    pen.flush(canvas);
                    let object = name(&instruction).and_then(|name| resources?.get_x_object(&name));
                    if let Some(object) = object {
                        self.object(&object, resources, &pen.state, depth, canvas)?;
                    }
                }
                operator => pen.step(operator, &instruction, canvas),
            }
        }
        pen.flush(canvas);
        Ok(())
    }

    fn font(&mut self, dict: &Dict<'_>) -> Rc<Font> {
        let Some(id) = dict.obj_id() else { return Rc::new(Font::read(dict)) };
        let known = self.fonts.entry((id.obj_number, id.gen_number));
        Rc::clone(known.or_insert_with(|| Rc::new(Font::read(dict))))
    }

    fn object(
        &mut self,
        object: &Stream<'_>,
        resources: Option<&Resources<'_>>,
        state: &State,
        depth: usize,
        canvas: &mut Canvas<'_>,
    ) -> Result<(), Error> {
        let dict = object.dict();
        let kind = dict.get::<Name<'_>>("Subtype");
        let kind = kind.as_ref().map(|name| name.as_str()).unwrap_or_default();
        if kind == "Image" {
            canvas.picture(&state.matrix);
        }
        if kind != "Form" || depth >= DEPTH_MAX {
            return Ok(());
        }
        self.forms += 1;
        if self.forms > FORMS_MAX {
            return Err(broken("it shows too many forms within forms"));
        }
        let Ok(content) = object.decoded() else { return Ok(()) };
        let mut inside = state.clone();
        if let Some(own) = matrix(dict) {
            inside.matrix = then(&own, &state.matrix);
        }
        let own = match (dict.get::<Dict<'_>>("Resources"), resources) {
            (Some(own), Some(resources)) => Some(Resources::from_parent(own, resources.clone())),
            _ => None,
        };
        self.content(&content, own.as_ref().or(resources), inside, depth + 1, canvas)
    }
}

fn matrix(dict: &Dict<'_>) -> Option<Matrix> {
    let array = dict.get::<hayro_syntax::object::Array<'_>>("Matrix")?;
    let numbers: Vec<f64> = array.iter::<Number>().map(|n| n.as_f64()).collect();
    numbers.try_into().ok()
}

fn numbers(instruction: &Instruction<'_, '_>) -> Vec<f64> {
    let number = |object: &Object<'_>| match object {
        Object::Number(number) => Some(number.as_f64()).filter(|n| n.is_finite()),
        _ => None,
    };
    instruction.operands().filter_map(number).collect()
}

fn name<'a>(instruction: &Instruction<'_, 'a>) -> Option<Name<'a>> {
    instruction.operands().find_map(|object| match object {
        Object::Name(name) => Some(name.clone()),
        _ => None,
    })
}

impl State {
    fn new(matrix: Matrix) -> State {
        State {
            matrix,
            font: None,
            size: 0.0,
            letter_space: 0.0,
            word_space: 0.0,
            scale: 1.0,
            leading: 0.0,
            rise: 0.0,
            mode: 0,
            white: false,
        }
    }
}

/// What writes and paints.
struct Pen {
    state: State,
    saved: Vec<State>,
    text: Matrix,
    line: Matrix,
    /// Corners of the path at hand, in the page's coordinates.
    path: Vec<(f64, f64)>,
    /// Text that is not yet on the page.
    run: Option<Run>,
}

impl Pen {
    fn step(&mut self, operator: &[u8], instruction: &Instruction<'_, '_>, canvas: &mut Canvas<'_>) {
        let n = numbers(instruction);
        let first = n.first().copied().unwrap_or(0.0);
        match (operator, n.as_slice()) {
            (b"q", _) if self.saved.len() < SAVED_MAX => self.saved.push(self.state.clone()),
            (b"Q", _) => {
                self.flush(canvas);
                if let Some(state) = self.saved.pop() {
                    self.state = state;
                }
            }
            (b"cm", [a, b, c, d, e, f]) => {
                self.flush(canvas);
                self.state.matrix = then(&[*a, *b, *c, *d, *e, *f], &self.state.matrix);
            }
            (b"BT", _) => (self.text, self.line) = (UNIT, UNIT),
            (b"ET", _) => self.flush(canvas),
            (b"Td", [x, y]) => self.next_line(*x, *y),
            (b"TD", [x, y]) => {
                self.state.leading = -y;
                self.next_line(*x, *y);
            }
            (b"Tm", [a, b, c, d, e, f]) => {
                self.line = [*a, *b, *c, *d, *e, *f];
                self.text = self.line;
            }
            (b"T*", _) => self.next_line(0.0, -self.state.leading),
            (b"Tc", _) => self.state.letter_space = first,
            (b"Tw", _) => self.state.word_space = first,
            (b"Tz", _) => self.state.scale = first / 100.0,
            (b"TL", _) => self.state.leading = first,
            (b"Ts", _) => self.state.rise = first,
            (b"Tr", _) => {
                self.flush(canvas);
                self.state.mode = first as i64;
            }
            (b"Tj" | b"TJ", _) => self.show(instruction, canvas),
            (b"'", _) => {
                self.next_line(0.0, -self.state.leading);
                self.show(instruction, canvas);
            }
            (b"\"", n) => {
                if let [word, letter, ..] = n {
                    (self.state.word_space, self.state.letter_space) = (*word, *letter);
                }
                self.next_line(0.0, -self.state.leading);
                self.show(instruction, canvas);
            }
            (b"g" | b"rg" | b"k" | b"sc" | b"scn" | b"cs", _) => {
                self.flush(canvas);
                self.state.white = is_white(operator, &n);
            }
            (b"re", [x, y, width, height]) => {
                for (x, y) in [(*x, *y), (x + width, y + height), (*x, y + height), (x + width, *y)] {
                    self.corner(x, y);
                }
            }
            (b"m" | b"l" | b"c" | b"v" | b"y", n) => {
                for pair in n.chunks_exact(2) {
                    self.corner(pair[0], pair[1]);
                }
            }
            (b"f" | b"F" | b"f*" | b"B" | b"B*" | b"b" | b"b*", _) => {
                if !self.state.white {
                    canvas.paint(&self.path);
                }
                self.path.clear();
            }
            (b"n" | b"S" | b"s", _) => self.path.clear(),
            // A shading covers what there is; a picture in the content is a picture.
            (b"sh", _) => canvas.areas.extend(canvas.shown),
            (b"BI" | b"EI", _) => canvas.picture(&self.state.matrix),
            _ => {}
        }
    }

    fn corner(&mut self, x: f64, y: f64) {
        if self.path.len() < AREAS_MAX {
            self.path.push(at(&self.state.matrix, x, y));
        }
    }

    fn next_line(&mut self, x: f64, y: f64) {
        self.line = then(&[1.0, 0.0, 0.0, 1.0, x, y], &self.line);
        self.text = self.line;
    }

    fn show(&mut self, instruction: &Instruction<'_, '_>, canvas: &mut Canvas<'_>) {
        for object in instruction.operands() {
            match object {
                Object::String(text) => self.write(text.as_bytes(), canvas),
                Object::Array(array) => {
                    for object in array.iter::<Object<'_>>() {
                        match object {
                            Object::String(text) => self.write(text.as_bytes(), canvas),
                            Object::Number(n) => {
                                let back = n.as_f64() / 1_000.0 * self.state.size * self.state.scale;
                                self.advance(-back);
                            }
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn advance(&mut self, along: f64) {
        if along.is_finite() {
            self.text = then(&[1.0, 0.0, 0.0, 1.0, along, 0.0], &self.text);
        }
    }

    fn write(&mut self, bytes: &[u8], canvas: &mut Canvas<'_>) {
        let Some(font) = self.state.font.clone() else { return };
        for glyph in font.glyphs(bytes) {
            let begin = self.place();
            let State { size, letter_space, word_space, scale, .. } = self.state;
            let space = letter_space + if glyph.is_space { word_space } else { 0.0 };
            self.advance(glyph.width * size * scale);
            let end = self.place();
            self.advance(space * scale);
            if let (Some(begin), Some(end)) = (begin, end)
                && !glyph.text.is_empty()
            {
                self.add(&glyph.text, begin, end, canvas);
            }
        }
    }

    /// Where the pen is on the page.
    fn place(&self) -> Option<(f64, f64)> {
        let place = at(&then(&self.text, &self.state.matrix), 0.0, self.state.rise);
        (place.0.is_finite() && place.1.is_finite()).then_some(place)
    }

    /// A letter joins the run at hand when it stands right behind it.
    fn add(&mut self, text: &str, begin: (f64, f64), end: (f64, f64), canvas: &mut Canvas<'_>) {
        let whole = then(&self.text, &self.state.matrix);
        let length = whole[0].hypot(whole[1]);
        let direction = if length > 0.0 { (whole[0] / length, whole[1] / length) } else { (1.0, 0.0) };
        let along = |(x, y): (f64, f64)| x * direction.0 + y * direction.1;
        let line = begin.1 * direction.0 - begin.0 * direction.1;
        let size = (self.state.size * whole[2].hypot(whole[3])).abs();
        let gap = |run: &Run| (along(begin) - run.end).abs() < size * 0.1;
        if let Some(run) = &mut self.run
            && run.direction == direction
            && run.size == size
            && (run.line - line).abs() < size * 0.01
            && gap(run)
        {
            run.text.push_str(text);
            run.end = along(end);
            return;
        }
        self.flush(canvas);
        self.run =
            Some(Run { text: text.into(), start: along(begin), end: along(end), line, direction, size });
    }

    fn flush(&mut self, canvas: &mut Canvas<'_>) {
        if let Some(run) = self.run.take() {
            canvas.write(run, &self.state);
        }
    }
}

fn is_white(operator: &[u8], n: &[f64]) -> bool {
    let all = |value: f64| n.iter().all(|n| (n - value).abs() < 0.02);
    match (operator, n.len()) {
        (b"g" | b"rg" | b"sc" | b"scn", 1 | 3) => all(1.0),
        (b"k" | b"sc" | b"scn", 4) => all(0.0),
        _ => false,
    }
}

impl Canvas<'_> {
    fn write(&mut self, run: Run, state: &State) {
        /// Neither filled nor stroked, or only to clip.
        const INKLESS: [i64; 2] = [3, 7];
        let (x, y) = (
            run.start * run.direction.0 - run.line * run.direction.1,
            run.start * run.direction.1 + run.line * run.direction.0,
        );
        let inside = |[left, bottom, right, top]: [f64; 4], slack: f64| {
            x >= left - slack && x <= right + slack && y >= bottom - slack && y <= top + slack
        };
        if run.size < SIZE_MIN || self.shown.is_some_and(|shown| !inside(shown, run.size)) {
            self.hide(Why::Size, &run.text);
        } else if INKLESS.contains(&state.mode) {
            self.seen.inkless.push(run);
        } else if state.white && !self.areas.iter().any(|area| inside(*area, 1.0)) {
            self.hide(Why::Colour, &run.text);
        } else {
            self.seen.runs.push(run);
        }
    }

    fn hide(&mut self, why: Why, text: &str) {
        match self.seen.hidden.last_mut() {
            Some((last, hidden)) if *last == why => {
                hidden.push(' ');
                hidden.push_str(text);
            }
            _ => self.seen.hidden.push((why, text.to_owned())),
        }
    }

    fn picture(&mut self, matrix: &Matrix) {
        self.seen.pictures = true;
        self.paint(&[(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)].map(|(x, y)| at(matrix, x, y)));
    }

    fn paint(&mut self, corners: &[(f64, f64)]) {
        if corners.is_empty() || self.areas.len() >= AREAS_MAX {
            return;
        }
        let mut area = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY];
        for (x, y) in corners {
            area = [area[0].min(*x), area[1].min(*y), area[2].max(*x), area[3].max(*y)];
        }
        self.areas.push(area);
    }
}
